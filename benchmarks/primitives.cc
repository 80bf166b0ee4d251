#include "benchmarks/primitives.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "ops/kernel.h"
#include "ops/op_table.h"
#include "ops/parallel.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

// Touched, and zero: a number in every type.
Memory Allocate(int64_t bytes) {
  constexpr int64_t kAlignment = 64;
  const int64_t size = (bytes + kAlignment) / kAlignment * kAlignment;
  Memory memory(std::aligned_alloc(kAlignment, size));
  CHECK(memory != nullptr) << bytes << " bytes";
  std::memset(memory.get(), 0, size);
  return memory;
}

// Seconds of the fastest run: at least three, for at least 0.2 s, after one
// that does not count.
absl::StatusOr<double> BestSeconds(const std::function<absl::Status()>& run) {
  using Clock = std::chrono::steady_clock;
  RETURN_IF_ERROR(run());
  double best = 0, total = 0;
  for (int count = 0; count < 3 || total < 0.2; ++count) {
    const Clock::time_point start = Clock::now();
    RETURN_IF_ERROR(run());
    const double seconds =
        std::chrono::duration<double>(Clock::now() - start).count();
    best = count == 0 ? seconds : std::min(best, seconds);
    total += seconds;
  }
  return best;
}

absl::StatusOr<double> BestSecondsOfKernel(const std::string& op,
                                           const ops::KernelSpec& spec) {
  const ops::KernelDef* def = ops::CpuKernels().find(op);
  CHECK(def != nullptr) << op;
  int64_t workspace_bytes = 0;
  if (def->workspace_bytes != nullptr) {
    ASSIGN_OR_RETURN(workspace_bytes, def->workspace_bytes(spec));
  }
  ASSIGN_OR_RETURN(const ops::Kernel kernel, def->create(spec));
  const Memory workspace = Allocate(workspace_bytes);
  std::vector<Memory> memory;
  std::vector<ops::TensorView> views;
  auto add = [&](const ops::TensorSlice& slice) {
    memory.push_back(Allocate(slice.size_bytes()));
    views.push_back({slice, memory.back().get()});
  };
  for (const ops::TensorSlice& slice : spec.inputs) add(slice);
  for (const ops::TensorSlice& slice : spec.outputs) add(slice);
  ops::KernelContext context;
  const absl::Span<const ops::TensorView> all = views;
  context.inputs = all.first(spec.inputs.size());
  context.outputs = all.last(spec.outputs.size());
  context.workspace = workspace.get();
  return BestSeconds([&] { return kernel(context); });
}

ops::TensorSlice Slice(ops::DataType dtype, ops::Layout layout,
                       const ops::Shape& shape) {
  ops::Shape offset;
  for (int i = 0; i < shape.rank(); ++i) offset.push_back(0);
  return {dtype, layout, shape, shape, offset};
}

// The op's attributes as the compiler leaves them: defaults, then what the
// kernel library takes where nothing was measured.
void FillAttributes(const std::string& op, ops::KernelSpec* spec) {
  const ops::OpDef* def = ops::FindOp(op);
  CHECK(def != nullptr) << op;
  for (const ops::AttributeSpec& attribute : def->attributes) {
    if (!spec->attributes.Has(attribute.name)) {
      spec->attributes.Set(attribute.name, attribute.initial);
    }
  }
  const ops::KernelDef* kernel = ops::CpuKernels().find(op);
  CHECK(kernel != nullptr) << op;
  if (kernel->alternatives != nullptr) {
    spec->attributes = kernel->alternatives(*spec).front();
  }
}

absl::StatusOr<double> ProductRate(ops::DataType dtype) {
  constexpr int64_t kSide = 1024;
  const ops::TensorSlice square =
      Slice(dtype, ops::Layout::kRowMajor, {kSide, kSide});
  ops::KernelSpec spec;
  spec.inputs = {square, square};
  spec.outputs = {square};
  FillAttributes("matmul", &spec);
  ASSIGN_OR_RETURN(const double seconds, BestSecondsOfKernel("matmul", spec));
  return 2.0 * kSide * kSide * kSide / seconds;
}

absl::StatusOr<double> ConvolutionRate(ops::DataType dtype) {
  constexpr int64_t kBatch = 16, kChannels = 128, kSide = 28, kKernel = 3;
  const ops::TensorSlice images =
      Slice(dtype, ops::CpuKernels().preferred_layout(dtype),
            {kBatch, kChannels, kSide, kSide});
  const ops::TensorSlice kernels = Slice(
      dtype, ops::Layout::kRowMajor, {kChannels, kChannels, kKernel, kKernel});
  ops::KernelSpec spec;
  spec.attributes = {{"stride", int64_t{1}}, {"padding", int64_t{1}}};
  spec.inputs = {images, kernels};
  spec.outputs = {images};
  FillAttributes("conv2d", &spec);
  ASSIGN_OR_RETURN(const double seconds, BestSecondsOfKernel("conv2d", spec));
  return 2.0 * images.num_elements() * kChannels * kKernel * kKernel / seconds;
}

absl::StatusOr<double> CopyRate() {
  constexpr int64_t kBytes = int64_t{128} << 20;
  const Memory from = Allocate(kBytes), to = Allocate(kBytes);
  ASSIGN_OR_RETURN(
      const double seconds, BestSeconds([&] {
        ops::ParallelFor(kBytes, 4096, [&](int64_t begin, int64_t end) {
          std::memcpy(static_cast<char*>(to.get()) + begin,
                      static_cast<char*>(from.get()) + begin, end - begin);
        });
        return absl::OkStatus();
      }));
  return 2.0 * kBytes / seconds;
}

// On the calling thread's team.
absl::StatusOr<PrimitiveRates> RatesHere(ops::DataType dtype) {
  PrimitiveRates rates;
  for (const ops::DataType type : {ops::DataType::kFloat32, dtype}) {
    PrimitiveRates::Arithmetic& arithmetic = rates.arithmetic[type];
    if (arithmetic.product > 0) continue;
    ASSIGN_OR_RETURN(arithmetic.product, ProductRate(type));
    ASSIGN_OR_RETURN(arithmetic.convolution, ConvolutionRate(type));
  }
  ASSIGN_OR_RETURN(rates.copy_bytes_per_second, CopyRate());
  return rates;
}

absl::StatusOr<PrimitiveRates> RatesOf(runtime::Device* device,
                                       ops::DataType dtype) {
  RETURN_IF_ERROR(device->EnterStream(ops::StreamKind::kCompute));
  return RatesHere(dtype);
}

}  // namespace

absl::StatusOr<PrimitiveRates> MeasurePrimitives(
    const std::vector<runtime::Device*>& devices, ops::DataType dtype) {
  // All at once, as in a training: they share the memory's rate.
  std::vector<absl::StatusOr<PrimitiveRates>> by_device(
      devices.size(), absl::UnknownError("not measured"));
  std::vector<std::thread> threads;
  for (size_t d = 0; d < devices.size(); ++d) {
    threads.emplace_back([&, d] { by_device[d] = RatesOf(devices[d], dtype); });
  }
  for (std::thread& thread : threads) thread.join();
  PrimitiveRates sum;
  for (const absl::StatusOr<PrimitiveRates>& rates : by_device) {
    RETURN_IF_ERROR(rates.status());
    for (const auto& [type, arithmetic] : rates->arithmetic) {
      sum.arithmetic[type].product += arithmetic.product;
      sum.arithmetic[type].convolution += arithmetic.convolution;
    }
    sum.copy_bytes_per_second += rates->copy_bytes_per_second;
  }
  return sum;
}

}  // namespace facet::benchmarks
