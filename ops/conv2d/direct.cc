// oneDNN's primitive in the middle, and around it what brings the operands to
// the types and formats it wants: kernels from row-major to its own blocking,
// halves to float32 where the CPU does not multiply them. All of that lives in
// the workspace.

#include "ops/conv2d/direct.h"

#include <array>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "ops/conv2d/convolution.h"
#include "ops/float8.h"
#include "ops/parallel.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using dnnl::memory;

constexpr int64_t kNowhere = -1;
constexpr int64_t kAlignment = 64;

// Hands out adjacent, aligned pieces of the workspace.
class Workspace {
 public:
  int64_t Take(int64_t bytes) {
    const int64_t offset = size_;
    size_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

// How one operand gets from the caller's memory to the primitive, or back.
struct OperandPlan {
  TensorSlice slice;
  memory::desc given;   // In the caller's layout and the type of `wanted`.
  memory::desc wanted;  // The primitive's.
  int64_t converted = kNowhere;  // Workspace offset of `given`, if converted.
  int64_t reordered = kNowhere;  // Workspace offset of `wanted`, if reordered.
  int64_t reorder_scratchpad = kNowhere;
  std::optional<dnnl::reorder::primitive_desc> reorder;
};

struct Plan {
  ConvolutionPrimitive primitive;
  OperandPlan x, w, y;
  int64_t scratchpad = kNowhere;
  int64_t workspace_bytes = 0;
};

absl::StatusOr<OperandPlan> PlanOperand(const TensorSlice& slice,
                                        const memory::desc& wanted,
                                        bool is_output, Workspace* workspace) {
  OperandPlan plan;
  plan.slice = slice;
  plan.wanted = wanted;
  const DataType dtype = OnednnType(wanted) == memory::data_type::bf16
                             ? DataType::kBFloat16
                             : DataType::kFloat32;
  ASSIGN_OR_RETURN(plan.given, OnednnDescriptor(slice, dtype));
  if (dtype != slice.dtype) {
    plan.converted =
        workspace->Take(static_cast<int64_t>(plan.given.get_size()));
  }
  if (plan.given != wanted) {
    plan.reordered = workspace->Take(static_cast<int64_t>(wanted.get_size()));
    const memory::desc& from = is_output ? wanted : plan.given;
    const memory::desc& to = is_output ? plan.given : wanted;
    RETURN_IF_ERROR(TryOnednn("reorder for a convolution", [&] {
      plan.reorder.emplace(OnednnEngine(), from, OnednnEngine(), to,
                           OnednnUserScratchpad());
    }));
    plan.reorder_scratchpad = workspace->Take(
        static_cast<int64_t>(plan.reorder->scratchpad_desc().get_size()));
  }
  return plan;
}

absl::StatusOr<Plan> MakePlan(const ConvolutionProblem& problem) {
  const ConvolutionDirection direction = problem.direction;
  Plan plan;
  ASSIGN_OR_RETURN(plan.primitive, ChooseConvolution(problem));
  Workspace workspace;
  ASSIGN_OR_RETURN(
      plan.x,
      PlanOperand(problem.x, plan.primitive.x,
                  direction == ConvolutionDirection::kGradInput, &workspace));
  ASSIGN_OR_RETURN(
      plan.w,
      PlanOperand(problem.w, plan.primitive.w,
                  direction == ConvolutionDirection::kGradWeight, &workspace));
  ASSIGN_OR_RETURN(
      plan.y,
      PlanOperand(problem.y, plan.primitive.y,
                  direction == ConvolutionDirection::kForward, &workspace));
  plan.scratchpad = workspace.Take(
      static_cast<int64_t>(plan.primitive.scratchpad.get_size()));
  plan.workspace_bytes = workspace.size();
  return plan;
}

template <typename From, typename To>
void Convert(const From* from, To* to, int64_t n) {
  ParallelFor(n, 16384, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + 8 <= end; i += 8) Store(to + i, Load<Float8>(from + i));
    for (; i < end; ++i) Store(to + i, Load<float>(from + i));
  });
}

// An operand at run time.
class Operand {
 public:
  static absl::StatusOr<Operand> Create(const OperandPlan& plan) {
    Operand operand;
    operand.plan_ = plan;
    if (plan.reorder) {
      dnnl::primitive primitive;
      RETURN_IF_ERROR(TryOnednn("reorder for a convolution", [&] {
        primitive = dnnl::reorder(*plan.reorder);
      }));
      ASSIGN_OR_RETURN(
          operand.reorder_,
          OnednnCall::Create(
              "reorder for a convolution", primitive,
              {{DNNL_ARG_FROM, plan.reorder->src_desc()},
               {DNNL_ARG_TO, plan.reorder->dst_desc()},
               {DNNL_ARG_SCRATCHPAD, plan.reorder->scratchpad_desc()}}));
    }
    return operand;
  }

  // Where the primitive reads or writes the operand.
  void* place(void* data, char* workspace) const {
    if (plan_.reordered != kNowhere) return workspace + plan_.reordered;
    return given_place(data, workspace);
  }

  // Before the primitive runs.
  absl::Status BringIn(void* data, char* workspace) {
    if (plan_.converted != kNowhere) {
      VisitFloating(plan_.slice.dtype, [&](auto zero) {
        using T = decltype(zero);
        Convert(static_cast<const T*>(data),
                reinterpret_cast<float*>(workspace + plan_.converted),
                plan_.slice.num_elements());
      });
    }
    if (plan_.reordered == kNowhere) return absl::OkStatus();
    return Reorder(given_place(data, workspace), workspace + plan_.reordered,
                   workspace);
  }

  // After it.
  absl::Status TakeOut(void* data, char* workspace) {
    if (plan_.reordered != kNowhere) {
      RETURN_IF_ERROR(Reorder(workspace + plan_.reordered,
                              given_place(data, workspace), workspace));
    }
    if (plan_.converted != kNowhere) {
      VisitFloating(plan_.slice.dtype, [&](auto zero) {
        using T = decltype(zero);
        Convert(reinterpret_cast<const float*>(workspace + plan_.converted),
                static_cast<T*>(data), plan_.slice.num_elements());
      });
    }
    return absl::OkStatus();
  }

 private:
  void* given_place(void* data, char* workspace) const {
    return plan_.converted != kNowhere ? workspace + plan_.converted : data;
  }

  absl::Status Reorder(void* from, void* to, char* workspace) {
    return reorder_->Run({from, to, workspace + plan_.reorder_scratchpad});
  }

  OperandPlan plan_;
  std::optional<OnednnCall> reorder_;
};

// The operands in the kernel's order: two inputs, one output.
struct State {
  std::array<Operand, 3> operands;
  std::optional<OnednnCall> convolution;
  int64_t scratchpad = 0;

  absl::Status Run(const KernelContext& context) {
    char* workspace = static_cast<char*>(context.workspace);
    const std::array<void*, 3> data = {context.inputs[0].data,
                                       context.inputs[1].data,
                                       context.outputs[0].data};
    for (int i = 0; i < 2; ++i) {
      RETURN_IF_ERROR(operands[i].BringIn(data[i], workspace));
    }
    RETURN_IF_ERROR(convolution->Run({operands[0].place(data[0], workspace),
                                      operands[1].place(data[1], workspace),
                                      operands[2].place(data[2], workspace),
                                      workspace + scratchpad}));
    return operands[2].TakeOut(data[2], workspace);
  }
};

}  // namespace

absl::StatusOr<int64_t> DirectWorkspaceBytes(
    const ConvolutionProblem& problem) {
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(problem));
  return plan.workspace_bytes;
}

absl::StatusOr<Kernel> MakeDirectKernel(const ConvolutionProblem& problem) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(problem));
  std::array<const OperandPlan*, 3> order;
  std::array<int, 3> arguments;
  switch (problem.direction) {
    case ConvolutionDirection::kForward:
      order = {&plan.x, &plan.w, &plan.y};
      arguments = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
      break;
    case ConvolutionDirection::kGradInput:
      order = {&plan.y, &plan.w, &plan.x};
      arguments = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
      break;
    case ConvolutionDirection::kGradWeight:
      order = {&plan.x, &plan.y, &plan.w};
      arguments = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS};
      break;
  }
  // Shared because std::function wants to be copied.
  auto state = std::make_shared<State>();
  state->scratchpad = plan.scratchpad;
  std::vector<std::pair<int, memory::desc>> operands;
  for (int i = 0; i < 3; ++i) {
    ASSIGN_OR_RETURN(state->operands[i], Operand::Create(*order[i]));
    operands.emplace_back(arguments[i], order[i]->wanted);
  }
  operands.emplace_back(DNNL_ARG_SCRATCHPAD, plan.primitive.scratchpad);
  dnnl::primitive primitive;
  RETURN_IF_ERROR(TryOnednn("convolution primitive",
                            [&] { primitive = plan.primitive.make(); }));
  ASSIGN_OR_RETURN(state->convolution,
                   OnednnCall::Create("convolution", primitive, operands));
  return Kernel(
      [state](const KernelContext& context) { return state->Run(context); });
}

}  // namespace facet::ops
