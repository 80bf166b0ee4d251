#include "glog/logging.h"
#include "ops/cuda/map.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Terms that one kernel adds: they are its arguments, of 4 KiB at most.
constexpr int kMostTerms = 128;

struct Plus {
  FACET_HOST_DEVICE float operator()(float a, float b) const { return a + b; }
};

// Reads every term and writes y once. In float, rounded once.
template <typename T>
__global__ void SumKernel(DeviceSpans<const T, kMostTerms> x, DeviceSpan<T> y) {
  for (int64_t i = GridThread(); i < y.size(); i += GridThreads()) {
    float sum = x.span[0].LoadFloat(i);
    for (int k = 1; k < x.count; ++k) sum += x.span[k].LoadFloat(i);
    y.StoreFloat(i, sum);
  }
}

template <typename T>
absl::Status Add(const KernelContext& context) {
  const DeviceSpan<T> y(context.outputs[0]);
  if (context.inputs.size() == 2) {
    return Map(*context.cuda, Plus{}, y, DeviceSpan<const T>(context.inputs[0]),
               DeviceSpan<const T>(context.inputs[1]));
  }
  if (y.size() == 0) return absl::OkStatus();
  const LaunchShape shape = {dim3(context.cuda->BlocksFor(y.size()))};
  DeviceSpans<const T, kMostTerms> x;
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    x.span[x.count++] = DeviceSpan<const T>(context.inputs[i]);
    if (x.count < kMostTerms && i + 1 < context.inputs.size()) continue;
    RETURN_IF_ERROR(Launch(SumKernel<T>, shape, context.cuda->stream(), x, y));
    // What is there so far is the first term of the next kernel.
    x.span[0] = y;
    x.count = 1;
  }
  return absl::OkStatus();
}

absl::StatusOr<Kernel> Create(const KernelSpec& spec) {
  for (const TensorSlice& input : spec.inputs) {
    CHECK(input.layout == spec.outputs[0].layout) << "layouts differ";
    CHECK_EQ(input.num_elements(), spec.outputs[0].num_elements());
  }
  return Kernel([](const KernelContext& context) {
    return VisitElement(context.outputs[0].dtype(), [&](auto zero) {
      return Add<decltype(zero)>(context);
    });
  });
}

}  // namespace

KernelDef AddCudaKernel() { return {nullptr, Create}; }
KernelDef AddNCudaKernel() { return {nullptr, Create}; }

}  // namespace facet::ops
