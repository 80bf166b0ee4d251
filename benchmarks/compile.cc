// How long the compiler takes, on one core: from the model's description to the
// checked plan, all passes. The bars: r50 with 2,000,000 classes on 8 devices
// in 0.3 s, r200 with 10,000,000 on 1,024 devices in 5 s.
//
//   bazel run //benchmarks:compile

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "benchmarks/compiled_model.h"
#include "runtime/device/host_memory.h"

namespace facet::benchmarks {
namespace {

void Compile(benchmark::State& state, const std::string& network,
             int64_t classes, int devices) {
  const ModelToCompile model = {.network = network, .classes = classes};
  const placement::Cluster cluster = EqualCpuCluster(devices);
  int64_t tasks = 0;
  for (auto _ : state) {
    const absl::StatusOr<placement::Plan> plan = CompileModel(model, cluster);
    if (!plan.ok()) {
      state.SkipWithError(std::string(plan.status().message()).c_str());
      return;
    }
    tasks = plan->tasks_size();
  }
  state.counters["tasks"] = static_cast<double>(tasks);
}

void Register(const std::string& network, int64_t classes, int devices) {
  benchmark::RegisterBenchmark(
      absl::StrCat(network, "/classes:", classes, "/devices:", devices).c_str(),
      [=](benchmark::State& state) {
        Compile(state, network, classes, devices);
      })
      ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  facet::runtime::KeepHeapInHugePages();  // As the plan tool.
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  using facet::benchmarks::Register;
  // Over the devices, over the depth of the network, over the classes.
  for (int devices : {1, 2, 4, 8, 16, 64, 256, 1024}) {
    Register("r50", 2'000'000, devices);
  }
  for (const char* network : {"r18", "r34", "r100", "r200"}) {
    Register(network, 2'000'000, 8);
  }
  Register("r50", 10'000, 8);
  Register("r50", 29'000'000, 8);
  Register("r200", 10'000'000, 1024);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
