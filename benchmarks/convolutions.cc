// The 3x3 convolutions of stride 1 of IResNet-50 on one core: each direction,
// by either algorithm. FLOP are those of the definition whatever the algorithm,
// so that the rates compare; Winograd's may be above the core's peak.
//
//   bazel run //benchmarks:convolutions -- --benchmark_filter=56

#include <omp.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "benchmarks/kernel_run.h"
#include "ops/cpu_kernels.h"
#include "ops/kernel.h"

namespace facet::benchmarks {
namespace {

struct Layer {
  int64_t inputs, outputs, side;
};

constexpr int64_t kBatch = 16;

void Convolution(benchmark::State& state, const std::string& op,
                 const std::string& algorithm, const Layer& layer) {
  const ops::KernelLibrary& library = ops::CpuKernels();
  const ops::Layout layout = library.preferred_layout(ops::DataType::kFloat32);
  const ops::TensorSlice x =
      WholeFloat32({kBatch, layer.inputs, layer.side, layer.side}, layout);
  const ops::TensorSlice w = WholeFloat32({layer.outputs, layer.inputs, 3, 3});
  const ops::TensorSlice y =
      WholeFloat32({kBatch, layer.outputs, layer.side, layer.side}, layout);
  ops::KernelSpec spec;
  spec.attributes = {{"stride", int64_t{1}},
                     {"padding", int64_t{1}},
                     {"algorithm", algorithm}};
  spec.inputs = {x, w};
  spec.outputs = {y};
  if (op == "conv2d_grad_input") spec.inputs[0] = y, spec.outputs[0] = x;
  if (op == "conv2d_grad_weight") spec.inputs[1] = y, spec.outputs[0] = w;

  auto run = KernelRun::Create(op, spec);
  if (!run.ok()) {
    state.SkipWithError(std::string(run.status().message()).c_str());
    return;
  }
  omp_set_num_threads(1);
  for (auto _ : state) run->Run();
  const double flops = 2.0 * static_cast<double>(y.num_elements()) *
                       static_cast<double>(layer.inputs) * 9;
  state.counters["FLOP"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void RegisterAll() {
  for (const Layer& layer :
       {Layer{64, 64, 112}, Layer{64, 64, 56}, Layer{64, 128, 56},
        Layer{128, 128, 28}, Layer{128, 256, 28}, Layer{256, 256, 14},
        Layer{256, 512, 14}, Layer{512, 512, 7}}) {
    for (const char* op :
         {"conv2d", "conv2d_grad_input", "conv2d_grad_weight"}) {
      for (const char* algorithm : {"direct", "winograd"}) {
        benchmark::RegisterBenchmark(
            absl::StrCat(op, "/", layer.inputs, "to", layer.outputs, "/",
                         layer.side, "x", layer.side, "/", algorithm)
                .c_str(),
            [=](benchmark::State& state) {
              Convolution(state, op, algorithm, layer);
            })
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  facet::benchmarks::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
