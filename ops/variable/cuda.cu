#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/slice_index.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/random.h"
#include "ops/variable/initial_values.h"

namespace facet::ops {
namespace {

struct Normal {
  float mean, stddev;
  FACET_HOST_DEVICE float operator()(const RandomStream& stream,
                                     int64_t element) const {
    return fmaf(RandomNormal(stream, element), stddev, mean);
  }
};

struct Uniform {
  float bound;
  FACET_HOST_DEVICE float operator()(const RandomStream& stream,
                                     int64_t element) const {
    return fmaf(UniformFloat(RandomWord(stream, element)), 2 * bound, -bound);
  }
};

// A value is a function of the element of the logical tensor. Runs once, so
// every element draws its own block of four.
template <typename T, typename Value>
__global__ void RandomKernel(RandomStream stream, SliceIndex index, Value value,
                             DeviceSpan<T> y) {
  for (int64_t i = GridThread(); i < y.size(); i += GridThreads()) {
    y.StoreFloat(i, value(stream, index.Global(i)));
  }
}

template <typename Value>
absl::Status FillRandom(const KernelContext& context, uint32_t key,
                        const Value& value) {
  const TensorView& y = context.outputs[0];
  if (y.slice.num_elements() == 0) return absl::OkStatus();
  const RandomStream stream = {static_cast<uint64_t>(context.seed), key,
                               kBeforeTheFirstStep};
  return VisitElement(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return Launch(RandomKernel<T, Value>,
                  {dim3(context.cuda->BlocksFor(y.slice.num_elements()))},
                  context.cuda->stream(), stream, SliceIndex(y.slice), value,
                  DeviceSpan<T>(y));
  });
}

}  // namespace

KernelDef VariableCudaKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const Attributes& attributes = spec.attributes;
    const std::string& init = attributes.String("init");
    if (init == "constant") {
      return Kernel(
          [value = attributes.Float("value")](const KernelContext& context) {
            return FillConstant(*context.cuda, context.outputs[0], value);
          });
    }
    const auto key = static_cast<uint32_t>(attributes.Int("key"));
    const Normal normal = {static_cast<float>(attributes.Float("mean")),
                           static_cast<float>(attributes.Float("stddev"))};
    const Uniform uniform = {static_cast<float>(attributes.Float("bound"))};
    const bool is_normal = init == "normal";
    return Kernel([=](const KernelContext& context) {
      return is_normal ? FillRandom(context, key, normal)
                       : FillRandom(context, key, uniform);
    });
  };
  return def;
}

}  // namespace facet::ops
