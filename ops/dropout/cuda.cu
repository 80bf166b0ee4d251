#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/slice_index.h"
#include "ops/dropout/mask.h"
#include "ops/kernel.h"

namespace facet::ops {
namespace {

constexpr int kPerThread = 4;

// Reads x and writes y once. A block of four random words takes some 100
// operations; a thread has four adjacent elements and makes a block for those
// that share it.
template <typename T>
__global__ void __launch_bounds__(kBlockThreads)
    DropoutKernel(DropoutMask mask, RandomStream stream, SliceIndex index,
                  DeviceSpan<const T> x, DeviceSpan<T> y) {
  const int64_t groups = (x.size() + kPerThread - 1) / kPerThread;
  for (int64_t g = GridThread(); g < groups; g += GridThreads()) {
    int64_t block = -1;
    PhiloxBlock words = {};
    for (int k = 0; k < kPerThread; ++k) {
      const int64_t i = g * kPerThread + k;
      if (i >= x.size()) break;
      const int64_t element = index.Global(i);
      if (element / 4 != block) {
        block = element / 4;
        words = RandomBlock(stream, block);
      }
      y.StoreFloat(i, x.LoadFloat(i) * mask.Factor(words.word[element % 4]));
    }
  }
}

}  // namespace

KernelDef DropoutCudaKernel() {
  KernelDef def;
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel([mask = DropoutMask(spec.attributes)](
                      const KernelContext& context) -> absl::Status {
      const TensorView& x = context.inputs[0];
      const int64_t n = x.slice.num_elements();
      if (n == 0) return absl::OkStatus();
      return VisitElement(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        return Launch(
            DropoutKernel<T>,
            {dim3(context.cuda->BlocksFor((n + kPerThread - 1) / kPerThread))},
            context.cuda->stream(), mask, mask.StreamOf(context),
            SliceIndex(x.slice), DeviceSpan<const T>(x),
            DeviceSpan<T>(context.outputs[0]));
      });
    });
  };
  return def;
}

}  // namespace facet::ops
