// CUDA kernels of conv2d_statistics. "cudnn:N": one of the engines that cuDNN
// has for both at once, which write y once and do not read it. "auto": one
// after the other.

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/conv2d/device_convolution.h"
#include "ops/conv2d/problem.h"
#include "ops/in_sequence.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {

// What it joins.
KernelDef Conv2dCudaKernel();
KernelDef BatchNormStatisticsCudaKernel();

namespace {

constexpr int kEngines = 4;

ConvolutionProblem ForwardProblem(const KernelSpec& spec) {
  return ProblemOf(ConvolutionDirection::kForward, spec);
}

bool IsAuto(const KernelSpec& spec) {
  return spec.attributes.String("algorithm") == "auto";
}

// Whether there may be an engine for both, on some GPU: cudnn_convolution.h.
bool MayJoin(const KernelSpec& spec) {
  const ConvolutionProblem problem = ForwardProblem(spec);
  const bool is_one_group = spec.outputs[1].shape[0] == 1;
  return is_one_group && !IsEmpty(problem) &&
         problem.x.dtype == DataType::kFloat16 &&
         problem.x.layout == Layout::kChannelsLast &&
         problem.y.layout == Layout::kChannelsLast &&
         problem.x.shape[1] % 8 == 0 && problem.y.shape[1] % 8 == 0;
}

std::vector<Attributes> Alternatives(const KernelSpec& spec) {
  std::vector<Attributes> all = {spec.attributes};
  if (IsAuto(spec) && MayJoin(spec)) {
    for (Attributes& joined : CudnnAlternatives(spec, kEngines)) {
      all.push_back(std::move(joined));
    }
  }
  return all;
}

absl::StatusOr<Kernel> CreateJoined(const KernelSpec& spec) {
  ASSIGN_OR_RETURN(const int engine, CudnnEngineOf(spec));
  if (!MayJoin(spec)) {
    return absl::UnimplementedError(
        "cuDNN joins convolutions with the statistics of their results in "
        "float16, nhwc, of multiples of 8 channels and one group per device; "
        "use the algorithm \"auto\"");
  }
  ASSIGN_OR_RETURN(
      const DeviceConvolution convolution,
      DeviceConvolution::Create(spec.cuda, ForwardProblem(spec), engine,
                                /*statistics=*/true));
  return Kernel([convolution](const KernelContext& context) {
    return convolution.Run(context);
  });
}

}  // namespace

KernelDef Conv2dStatisticsCudaKernel() {
  const KernelDef separate =
      InSequence(Conv2dCudaKernel(), BatchNormStatisticsCudaKernel(),
                 /*first_inputs=*/2, /*keeps_between=*/true);
  KernelDef def;
  def.alternatives = Alternatives;
  def.workspace_bytes =
      [separate](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    if (IsAuto(spec)) return separate.workspace_bytes(spec);
    RETURN_IF_ERROR(CudnnEngineOf(spec).status());
    return DeviceConvolutionPlan(ForwardProblem(spec)).workspace_bytes();
  };
  def.create = [separate](const KernelSpec& spec) {
    return IsAuto(spec) ? separate.create(spec) : CreateJoined(spec);
  };
  def.rounds_to_inputs = true;
  return def;
}

}  // namespace facet::ops
