// A convolution on a CUDA device, from operands as an op holds them: cuDNN in
// the middle (cudnn_convolution.h), and around it what brings the operands to
// the one element type and layout that it wants all three in, in the workspace.
// Kernels are row-major and their gradient is float32; on 16-bit tensor cores
// cuDNN wants them channels-last and in 16 bits. So dw is summed in float32,
// rounded once to the type of x, and widened; what overflows there is infinite,
// and the step is skipped as any that does.
//
// Must compute 2 N OH OW O C KH KW FLOP and move x, w and y once; a 3x3 layer
// of 64 channels or more in 16 bits is bound by arithmetic. On top of it w
// moves twice more, which is little beside the images, and x or y does if they
// differ in layout: the stem's three channels.
#ifndef FACET_OPS_CONV2D_DEVICE_CONVOLUTION_H_
#define FACET_OPS_CONV2D_DEVICE_CONVOLUTION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/conv2d/cudnn_convolution.h"
#include "ops/conv2d/problem.h"
#include "ops/cuda/cuda_context.h"
#include "ops/kernel.h"

namespace facet::ops {

// Where everything lies in the workspace; made without a device.
struct DeviceConvolutionPlan {
  // An operand as the caller holds it and as cuDNN gets it.
  struct Operand {
    static constexpr int64_t kNowhere = -1;
    TensorSlice given, wanted;
    int64_t copy = kNowhere;  // Of `wanted`, if it is not what is given.
  };

  explicit DeviceConvolutionPlan(const ConvolutionProblem& given);

  int64_t workspace_bytes() const { return cudnn + cudnn_bytes; }

  ConvolutionProblem wanted;
  std::array<Operand, 3> operands;  // The op's: two inputs, one output.
  int64_t cudnn = 0;
  int64_t cudnn_bytes = 0;  // At most.
};

class DeviceConvolution {
 public:
  // No operand is empty or blocked. Engine, statistics and errors as
  // CudnnConvolution::Create's.
  static absl::StatusOr<DeviceConvolution> Create(
      CudaContext* cuda, const ConvolutionProblem& given, int engine,
      bool statistics);

  // Two inputs and the first output are the operands, in the order of the
  // direction's op; with statistics, two more outputs are the sums. Enqueues
  // it.
  absl::Status Run(const KernelContext& context) const;

 private:
  DeviceConvolution(DeviceConvolutionPlan plan, cudnnContext* cudnn,
                    CudnnConvolution convolution);

  DeviceConvolutionPlan plan_;
  cudnnContext* cudnn_;
  // Shared because kernels are copied.
  std::shared_ptr<const CudnnConvolution> convolution_;
};

// Which of cuDNN's engines the attribute "algorithm" says.
absl::StatusOr<int> CudnnEngineOf(const KernelSpec& spec);

// KernelDef::alternatives: that many engines, if the attribute leaves it open.
// How many there are is not known where plans are made.
std::vector<Attributes> CudnnAlternatives(const KernelSpec& spec, int engines);

// cuDNN takes no tensors without elements.
inline bool IsEmpty(const ConvolutionProblem& problem) {
  return problem.x.num_elements() == 0 || problem.w.num_elements() == 0 ||
         problem.y.num_elements() == 0;
}

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_DEVICE_CONVOLUTION_H_
