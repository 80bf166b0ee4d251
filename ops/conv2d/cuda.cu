// CUDA kernels of conv2d and its gradients: cuDNN in the middle, and around it
// what brings the operands to the one element type and layout that it wants
// all three in, in the workspace. Kernels are row-major and their gradient is
// float32; on 16-bit tensor cores cuDNN wants them channels-last and in 16
// bits. So dw is summed in float32, rounded once to the type of x, and widened;
// what overflows there is infinite, and the step is skipped as any that does.
//
// Must compute 2 N OH OW O C KH KW FLOP and move x, w and y once; a 3x3 layer
// of 64 channels or more in 16 bits is bound by arithmetic. On top of it w
// moves twice more, which is little beside the images, and x or y does if they
// differ in layout: the stem's three channels.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/conv2d/algorithm.h"
#include "ops/conv2d/cudnn_convolution.h"
#include "ops/conv2d/problem.h"
#include "ops/cuda/cuda_context.h"
#include "ops/fill/device_fill.h"
#include "ops/kernel.h"
#include "ops/reorder/device_change_layout.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int64_t kNowhere = -1;

// An operand as the caller holds it and as cuDNN gets it. Offsets are into the
// workspace.
struct Operand {
  TensorSlice given, wanted;
  int64_t copy = kNowhere;  // Of `wanted`, if it is not what is given.
};

struct Plan {
  ConvolutionProblem wanted;
  std::array<Operand, 3> operands;  // The op's: two inputs, one output.
  int64_t cudnn = 0;
  int64_t cudnn_bytes = 0;  // At most.
};

// What cuDNN may use as scratch memory. Plans are made where there is no device
// to ask, so this is a rule: room for what its algorithms are known to want, x
// and y in another layout and some partial sums of dw. (Frameworks with a fixed
// limit have about kMost.) It costs little: the large ones belong to the layers
// next to the images, which run while little else is alive.
int64_t MostCudnnBytes(const ConvolutionProblem& problem) {
  constexpr int64_t kLeast = int64_t{1} << 20;
  constexpr int64_t kMost = int64_t{1} << 30;
  constexpr int64_t kPartialSums = 8;
  const int64_t w_sums =
      problem.w.num_elements() * static_cast<int64_t>(sizeof(float));
  return std::clamp(problem.x.size_bytes() + problem.y.size_bytes() +
                        kPartialSums * w_sums + kLeast,
                    kLeast, kMost);
}

Plan MakePlan(const ConvolutionProblem& given) {
  const bool channels_last = given.x.layout == Layout::kChannelsLast ||
                             given.y.layout == Layout::kChannelsLast;
  Plan plan;
  plan.wanted = given;
  for (TensorSlice* slice : {&plan.wanted.x, &plan.wanted.w, &plan.wanted.y}) {
    slice->dtype = given.x.dtype;
    slice->layout = channels_last ? Layout::kChannelsLast : Layout::kRowMajor;
  }
  int64_t end = 0;
  auto take = [&](int64_t bytes) {
    constexpr int64_t kAlignment = 64;
    const int64_t offset = end;
    end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  };
  const ConvolutionProblem& wanted = plan.wanted;
  const auto givens =
      ExchangeRoles(given.direction, &given.x, &given.w, &given.y);
  const auto wanteds =
      ExchangeRoles(given.direction, &wanted.x, &wanted.w, &wanted.y);
  for (size_t i = 0; i < plan.operands.size(); ++i) {
    Operand operand{*givens[i], *wanteds[i]};
    const bool same_type = operand.given.dtype == operand.wanted.dtype;
    const bool alike = LieAlike(operand.given.shape, operand.given.layout,
                                operand.wanted.layout);
    if (!same_type || !alike) operand.copy = take(operand.wanted.size_bytes());
    plan.operands[i] = operand;
  }
  plan.cudnn_bytes = MostCudnnBytes(wanted);
  plan.cudnn = take(plan.cudnn_bytes);
  return plan;
}

// Where cuDNN reads or writes it.
void* PlaceOf(const Operand& operand, void* data, char* workspace) {
  return operand.copy == kNowhere ? data : workspace + operand.copy;
}

absl::Status Copy(const CudaContext& cuda, const TensorView& from,
                  const TensorView& to) {
  return ChangeLayout(cuda, from.shape(), from.slice.layout, from,
                      to.slice.layout, to);
}

absl::Status BringIn(const CudaContext& cuda, const Operand& operand,
                     void* data, char* workspace) {
  if (operand.copy == kNowhere) return absl::OkStatus();
  return Copy(cuda, {operand.given, data},
              {operand.wanted, workspace + operand.copy});
}

absl::Status TakeOut(const CudaContext& cuda, const Operand& operand,
                     void* data, char* workspace) {
  if (operand.copy == kNowhere) return absl::OkStatus();
  return Copy(cuda, {operand.wanted, workspace + operand.copy},
              {operand.given, data});
}

absl::Status Run(const Plan& plan, const CudnnConvolution& convolution,
                 cudnnContext* cudnn, const KernelContext& context) {
  char* workspace = static_cast<char*>(context.workspace);
  const std::array<void*, 3> data = {
      context.inputs[0].data, context.inputs[1].data, context.outputs[0].data};
  std::array<void*, 3> place;
  for (size_t i = 0; i < place.size(); ++i) {
    place[i] = PlaceOf(plan.operands[i], data[i], workspace);
  }
  for (size_t i = 0; i < 2; ++i) {
    RETURN_IF_ERROR(
        BringIn(*context.cuda, plan.operands[i], data[i], workspace));
  }
  const auto [x, w, y] =
      ExchangeRoles(plan.wanted.direction, place[0], place[1], place[2]);
  RETURN_IF_ERROR(convolution.Run(cudnn, x, w, y, workspace + plan.cudnn));
  return TakeOut(*context.cuda, plan.operands[2], data[2], workspace);
}

// cuDNN takes no tensors without elements.
bool IsEmpty(const ConvolutionProblem& problem) {
  return problem.x.num_elements() == 0 || problem.w.num_elements() == 0 ||
         problem.y.num_elements() == 0;
}

// Which of cuDNN's engines.
absl::StatusOr<int> EngineOf(const KernelSpec& spec) {
  const std::string& algorithm = spec.attributes.String("algorithm");
  if (algorithm == "auto") return 0;
  if (const auto engine = CudnnEngine(algorithm)) return *engine;
  return absl::UnimplementedError(
      absl::StrCat("algorithm \"", algorithm,
                   "\" is for CPUs; on a CUDA device use \"auto\", or one of "
                   "cuDNN's engines: \"cudnn:0\""));
}

// Which of them there are is not known where plans are made. The heuristics
// rarely err by more.
std::vector<Attributes> Alternatives(const KernelSpec& spec) {
  constexpr int kEngines = 8;
  if (spec.attributes.String("algorithm") != "auto") return {spec.attributes};
  std::vector<Attributes> all(kEngines, spec.attributes);
  for (int engine = 0; engine < kEngines; ++engine) {
    all[engine].Set("algorithm", CudnnAlgorithm(engine));
  }
  return all;
}

KernelDef MakeDef(ConvolutionDirection direction) {
  KernelDef def;
  def.alternatives = Alternatives;
  def.workspace_bytes =
      [direction](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    RETURN_IF_ERROR(EngineOf(spec).status());
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    if (IsEmpty(problem)) return 0;
    const Plan plan = MakePlan(problem);
    return plan.cudnn + plan.cudnn_bytes;
  };
  def.create = [direction](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const int engine, EngineOf(spec));
    const ConvolutionProblem problem = ProblemOf(direction, spec);
    for (const TensorSlice* slice : {&problem.x, &problem.w, &problem.y}) {
      CHECK(ChannelBlock(slice->layout) == 1) << "a blocked layout";
    }
    if (IsEmpty(problem)) {
      // Sums of nothing, if anything.
      return Kernel([](const KernelContext& context) {
        return FillConstant(*context.cuda, context.outputs[0], 0);
      });
    }
    const Plan plan = MakePlan(problem);
    ASSIGN_OR_RETURN(cudnnContext* const cudnn, spec.cuda->cudnn());
    ASSIGN_OR_RETURN(
        CudnnConvolution convolution,
        CudnnConvolution::Create(cudnn, plan.wanted, plan.cudnn_bytes, engine));
    // Shared because std::function wants to be copied.
    auto shared =
        std::make_shared<const CudnnConvolution>(std::move(convolution));
    return Kernel([plan, shared, cudnn](const KernelContext& context) {
      return Run(plan, *shared, cudnn, context);
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
