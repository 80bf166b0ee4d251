// CUDA kernels of conv2d and its gradients: device_convolution.h.

#include <vector>

#include "absl/status/statusor.h"
#include "ops/conv2d/device_convolution.h"
#include "ops/conv2d/problem.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// The heuristics rarely err by more.
constexpr int kEngines = 8;

KernelDef MakeDef(ConvolutionDirection direction) {
  KernelDef def;
  def.alternatives = [](const KernelSpec& spec) {
    return CudnnAlternatives(spec, kEngines);
  };
  def.workspace_bytes =
      [direction](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    RETURN_IF_ERROR(CudnnEngineOf(spec).status());
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    if (IsEmpty(problem)) return 0;
    return DeviceConvolutionPlan(problem).workspace_bytes();
  };
  def.create = [direction](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const int engine, CudnnEngineOf(spec));
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    if (IsEmpty(problem)) {
      // Sums of nothing, if anything.
      return Kernel([](const KernelContext& context) {
        return FillConstant(*context.cuda, context.outputs[0], 0);
      });
    }
    ASSIGN_OR_RETURN(const DeviceConvolution convolution,
                     DeviceConvolution::Create(spec.cuda, problem, engine,
                                               /*statistics=*/false));
    return Kernel([convolution](const KernelContext& context) {
      return convolution.Run(context);
    });
  };
  def.rounds_to_inputs = direction == ConvolutionDirection::kGradWeight;
  return def;
}

}  // namespace

KernelDef Conv2dCudaKernel() { return MakeDef(ConvolutionDirection::kForward); }

KernelDef Conv2dGradInputCudaKernel() {
  return MakeDef(ConvolutionDirection::kGradInput);
}

KernelDef Conv2dGradWeightCudaKernel() {
  return MakeDef(ConvolutionDirection::kGradWeight);
}

}  // namespace facet::ops
