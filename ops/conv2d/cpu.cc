// CPU kernels of conv2d and its gradients: which algorithm computes them.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/conv2d/direct.h"
#include "ops/conv2d/problem.h"
#include "ops/conv2d/winograd.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// Whether tiles of 4x4 results, with 36 products each, save at least a third of
// the 9 products per result. Winograd's transforms cost less than that
// (measured for 64 to 512 channels in float32, on AVX2). Where a CPU multiplies
// bfloat16 by itself they may not: the choice is better measured.
bool WinogradPays(const Shape& y) {
  const int64_t tiles = (y[2] + 3) / 4 * ((y[3] + 3) / 4);
  return tiles * 36 * 3 <= y[2] * y[3] * 9 * 2;
}

bool IsAuto(const KernelSpec& spec) {
  return spec.attributes.String("algorithm") == "auto";
}

Attributes With(const std::string& algorithm, const KernelSpec& spec) {
  Attributes attributes = spec.attributes;
  attributes.Set("algorithm", algorithm);
  return attributes;
}

// Unimplemented if Winograd's algorithm was asked for and cannot do it.
absl::StatusOr<bool> UsesWinograd(const ConvolutionProblem& problem,
                                  const KernelSpec& spec) {
  const bool supported = WinogradSupports(problem);
  if (IsAuto(spec)) return supported && WinogradPays(problem.y.shape);
  const std::string& algorithm = spec.attributes.String("algorithm");
  if (algorithm == "direct") return false;
  if (algorithm != "winograd") {
    return absl::UnimplementedError(
        absl::StrCat("algorithm \"", algorithm,
                     "\" is for CUDA devices; on a CPU use \"direct\", "
                     "\"winograd\" or \"auto\""));
  }
  if (supported) return true;
  return absl::UnimplementedError(absl::StrCat(
      "algorithm \"winograd\" cannot convolve x ", problem.x.shape.ToString(),
      " in layout ", LayoutName(problem.x.layout), " with w ",
      problem.w.shape.ToString(), ", stride ", problem.stride, ", padding ",
      problem.padding,
      ": it needs a blocked layout, multiples of 16 channels, 3x3, stride 1 "
      "and padding 1; use \"direct\" or \"auto\""));
}

Kernel MakeWinogradKernel(const ConvolutionProblem& problem) {
  return [problem](const KernelContext& context) {
    const auto [x, w, y] =
        ExchangeRoles(problem.direction, context.inputs[0].data,
                      context.inputs[1].data, context.outputs[0].data);
    RunWinograd(problem, x, w, y, context.workspace);
    return absl::OkStatus();
  };
}

KernelDef MakeDef(ConvolutionDirection direction) {
  KernelDef def;
  def.alternatives = [direction](const KernelSpec& spec) {
    if (!IsAuto(spec)) return std::vector<Attributes>{spec.attributes};
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    std::vector<Attributes> all = {With("direct", spec)};
    if (WinogradSupports(problem)) {
      const bool first = WinogradPays(problem.y.shape);
      all.insert(first ? all.begin() : all.end(), With("winograd", spec));
    }
    return all;
  };
  def.workspace_bytes =
      [direction](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    ASSIGN_OR_RETURN(const bool winograd, UsesWinograd(problem, spec));
    if (winograd) return WinogradWorkspaceBytes(problem);
    return DirectWorkspaceBytes(problem);
  };
  def.create = [direction](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    CHECK(problem.w.layout == Layout::kRowMajor);
    ASSIGN_OR_RETURN(const bool winograd, UsesWinograd(problem, spec));
    if (winograd) return MakeWinogradKernel(problem);
    return MakeDirectKernel(problem);
  };
  return def;
}

}  // namespace

KernelDef Conv2dCpuKernel() { return MakeDef(ConvolutionDirection::kForward); }

KernelDef Conv2dGradInputCpuKernel() {
  return MakeDef(ConvolutionDirection::kGradInput);
}

KernelDef Conv2dGradWeightCpuKernel() {
  return MakeDef(ConvolutionDirection::kGradWeight);
}

}  // namespace facet::ops
