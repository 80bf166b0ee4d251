// The 3x3 convolutions of stride 1 of IResNet-50 on one core: each direction,
// by either algorithm. FLOP are those of the definition whatever the algorithm,
// so that the rates compare; Winograd's may be above the core's peak.
//
//   bazel run //benchmarks:convolutions -- --benchmark_filter=56

#include <omp.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "ops/kernel.h"

namespace facet::benchmarks {
namespace {

struct Layer {
  int64_t inputs, outputs, side;
};

constexpr int64_t kBatch = 16;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

// Of floats between -1 and 1 that differ.
Memory Allocate(int64_t bytes) {
  constexpr int64_t kAlignment = 64;
  Memory memory(std::aligned_alloc(
      kAlignment, (bytes + kAlignment) / kAlignment * kAlignment));
  CHECK(memory != nullptr) << bytes << " bytes";
  float* values = static_cast<float*>(memory.get());
  for (int64_t i = 0; i < bytes / 4; ++i) {
    values[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  }
  return memory;
}

ops::TensorSlice Slice(const ops::Shape& shape, ops::Layout layout) {
  return {ops::DataType::kFloat32, layout, shape, shape, {0, 0, 0, 0}};
}

void Convolution(benchmark::State& state, const std::string& op,
                 const std::string& algorithm, const Layer& layer) {
  const ops::KernelLibrary& library = ops::CpuKernels();
  const ops::Layout layout = library.preferred_layout(ops::DataType::kFloat32);
  const ops::TensorSlice x =
      Slice({kBatch, layer.inputs, layer.side, layer.side}, layout);
  const ops::TensorSlice w =
      Slice({layer.outputs, layer.inputs, 3, 3}, ops::Layout::kRowMajor);
  const ops::TensorSlice y =
      Slice({kBatch, layer.outputs, layer.side, layer.side}, layout);
  ops::KernelSpec spec;
  spec.attributes = {{"stride", int64_t{1}},
                     {"padding", int64_t{1}},
                     {"algorithm", algorithm}};
  spec.inputs = {x, w};
  spec.outputs = {y};
  if (op == "conv2d_grad_input") spec.inputs[0] = y, spec.outputs[0] = x;
  if (op == "conv2d_grad_weight") spec.inputs[1] = y, spec.outputs[0] = w;

  const ops::KernelDef* def = library.find(op);
  CHECK(def != nullptr) << op;
  const auto bytes = def->workspace_bytes(spec);
  const auto kernel = def->create(spec);
  if (!bytes.ok() || !kernel.ok()) {
    state.SkipWithError(std::string(kernel.status().message()).c_str());
    return;
  }
  const Memory workspace = Allocate(*bytes);
  std::vector<Memory> memory;
  std::vector<ops::TensorView> views;
  for (const ops::TensorSlice& slice :
       {spec.inputs[0], spec.inputs[1], spec.outputs[0]}) {
    memory.push_back(Allocate(slice.size_bytes()));
    views.push_back({slice, memory.back().get()});
  }
  ops::KernelContext context;
  context.inputs = absl::MakeSpan(views).first(2);
  context.outputs = absl::MakeSpan(views).last(1);
  context.workspace = workspace.get();
  omp_set_num_threads(1);
  for (auto _ : state) {
    const absl::Status status = (*kernel)(context);
    CHECK(status.ok()) << status;
  }
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
