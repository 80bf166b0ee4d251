#include "ops/cosine_softmax/class_groups.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ops/cosine_softmax/softmax_shift.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int kNone = -1;

int64_t Aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// What parts work on: an operand, or a piece of the workspace. Of one that has
// an axis of classes, a part gets the group's.
struct Tensor {
  enum class Place { kInput, kOutput, kWorkspace };
  Place place = Place::kInput;
  TensorSlice slice;
  int operand = 0;         // Of an input or output.
  int64_t offset = 0;      // In the workspace.
  int class_axis = kNone;  // 0, or any of what lies in the workspace.
};

// One application of an op.
struct Part {
  KernelDef kernel;
  Attributes attributes;
  std::vector<int> inputs, outputs;  // Tensors.
};

// What a kernel does: the first parts once, then the others for every group.
class Program {
 public:
  // x, w, labels: which inputs these are.
  Program(const KernelSpec& spec, const HeadKernels& kernels, int x, int w,
          int labels);

  // Tensors, for parts: inputs are numbered as the op's.
  int Output(int operand) const;
  int Scratch(TensorSlice slice, int class_axis = kNone);
  // Parts get the group's rows of this input.
  void SplitRows(int input) { tensors_[input].class_axis = 0; }
  int cosines() const { return cosines_; }
  int shift() const { return shift_; }
  const TensorSlice& slice(int tensor) const { return tensors_[tensor].slice; }

  void Fill(int tensor, double value);
  void AddPart(const KernelDef& kernel, std::vector<int> inputs,
               std::vector<int> outputs);
  // to += what, for each group.
  void AddTo(int to, int what) { AddPart(kernels_.add, {to, what}, {to}); }
  // Turns the group's cosines into gradients by them. sum, dloss: tensors.
  void AddGradients(int labels, int sum, int dloss) {
    AddPart(kernels_.margin_softmax_grad,
            {cosines_, labels, shift_, sum, dloss}, {cosines_});
  }

  absl::StatusOr<int64_t> WorkspaceBytes() const;
  absl::StatusOr<Kernel> Create(CudaContext* cuda) const;

 private:
  struct Made {
    Kernel kernel;
    std::vector<TensorView> inputs, outputs;
  };

  int64_t num_groups() const { return (classes_ + rows_ - 1) / rows_; }
  Range Group(int64_t group) const {
    return {group * rows_, std::min(classes_, (group + 1) * rows_)};
  }
  TensorSlice OfGroup(int tensor, const Range& classes) const;
  KernelSpec SpecOf(const Part& part, const Range& classes) const;
  void SetViews(const std::vector<int>& tensors, const Range& classes,
                const KernelContext& context,
                std::vector<TensorView>* views) const;
  absl::Status Run(const std::vector<Part>& parts, const Range& classes,
                   const KernelContext& context, std::vector<Made>* made) const;
  absl::StatusOr<std::vector<Made>> Make(const std::vector<Part>& parts,
                                         const Range& classes,
                                         CudaContext* cuda) const;

  Attributes attributes_;
  HeadKernels kernels_;
  int rank_, num_ranks_;
  int64_t classes_, rows_;  // Here; of a group, the last may have fewer.
  std::vector<Tensor> tensors_;
  int64_t scratch_bytes_ = 0;
  int cosines_ = kNone, shift_ = kNone;
  std::vector<Part> once_, each_;
};

Program::Program(const KernelSpec& spec, const HeadKernels& kernels, int x,
                 int w, int labels)
    : attributes_(spec.attributes),
      kernels_(kernels),
      rank_(spec.rank),
      num_ranks_(spec.num_ranks) {
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    Tensor tensor;
    tensor.slice = spec.inputs[i];
    tensor.operand = static_cast<int>(i);
    tensors_.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    Tensor tensor;
    tensor.place = Tensor::Place::kOutput;
    tensor.slice = spec.outputs[i];
    tensor.operand = static_cast<int>(i);
    tensors_.push_back(std::move(tensor));
  }
  SplitRows(w);
  const TensorSlice& of_x = spec.inputs[x];
  const TensorSlice& of_w = spec.inputs[w];
  const int64_t n = of_x.shape[0];
  classes_ = of_w.shape[0];
  // Whole lines of w.
  rows_ = std::max(kAlignment,
                   kernels.group_bytes / (4 * n) / kAlignment * kAlignment);
  rows_ = std::min(rows_, classes_);
  TensorSlice cosines;
  cosines.shape = {n, classes_};
  cosines.global_shape = {of_x.global_shape[0], of_w.global_shape[0]};
  cosines.offset = {of_x.offset[0], of_w.offset[0]};
  cosines_ = Scratch(cosines, /*class_axis=*/1);
  TensorSlice per_row = spec.inputs[labels];
  per_row.dtype = DataType::kFloat32;
  shift_ = Scratch(per_row);
  Fill(shift_, SoftmaxShift(attributes_.Float("scale")));
  AddPart(kernels_.cosine_linear, {x, w}, {cosines_});
}

int Program::Output(int operand) const {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (tensors_[t].place == Tensor::Place::kOutput &&
        tensors_[t].operand == operand) {
      return static_cast<int>(t);
    }
  }
  return kNone;
}

int Program::Scratch(TensorSlice slice, int class_axis) {
  Tensor tensor;
  tensor.place = Tensor::Place::kWorkspace;
  tensor.slice = std::move(slice);
  tensor.class_axis = class_axis;
  tensor.offset = scratch_bytes_;
  tensors_.push_back(std::move(tensor));
  const int id = static_cast<int>(tensors_.size()) - 1;
  scratch_bytes_ += Aligned(OfGroup(id, Group(0)).size_bytes());
  return id;
}

void Program::Fill(int tensor, double value) {
  once_.push_back({kernels_.fill, {{"value", value}}, {}, {tensor}});
}

void Program::AddPart(const KernelDef& kernel, std::vector<int> inputs,
                      std::vector<int> outputs) {
  // Ops read the attributes they know.
  each_.push_back({kernel, attributes_, std::move(inputs), std::move(outputs)});
}

TensorSlice Program::OfGroup(int tensor, const Range& classes) const {
  TensorSlice slice = tensors_[tensor].slice;
  if (const int axis = tensors_[tensor].class_axis; axis != kNone) {
    slice.shape[axis] = classes.size();
    slice.offset[axis] += classes.begin;
  }
  return slice;
}

KernelSpec Program::SpecOf(const Part& part, const Range& classes) const {
  KernelSpec spec;
  spec.attributes = part.attributes;
  for (int t : part.inputs) spec.inputs.push_back(OfGroup(t, classes));
  for (int t : part.outputs) spec.outputs.push_back(OfGroup(t, classes));
  spec.rank = rank_;
  spec.num_ranks = num_ranks_;
  return spec;
}

absl::StatusOr<int64_t> Program::WorkspaceBytes() const {
  int64_t most = 0;
  for (const std::vector<Part>* parts : {&once_, &each_}) {
    for (const Part& part : *parts) {
      if (part.kernel.workspace_bytes == nullptr) continue;
      for (int64_t group : {int64_t{0}, num_groups() - 1}) {
        ASSIGN_OR_RETURN(const int64_t bytes, part.kernel.workspace_bytes(
                                                  SpecOf(part, Group(group))));
        most = std::max(most, bytes);
      }
    }
  }
  return scratch_bytes_ + most;
}

void Program::SetViews(const std::vector<int>& tensors, const Range& classes,
                       const KernelContext& context,
                       std::vector<TensorView>* views) const {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors_[tensors[i]];
    TensorView& view = (*views)[i];
    view.slice = OfGroup(tensors[i], classes);
    if (tensor.place == Tensor::Place::kWorkspace) {
      view.data = static_cast<char*>(context.workspace) + tensor.offset;
      continue;
    }
    view.data = (tensor.place == Tensor::Place::kInput
                     ? context.inputs
                     : context.outputs)[tensor.operand]
                    .data;
    if (tensor.class_axis == 0) {
      const int64_t row_bytes =
          tensor.slice.size_bytes() / tensor.slice.shape[0];
      view.data = static_cast<char*>(view.data) + classes.begin * row_bytes;
    }
  }
}

absl::Status Program::Run(const std::vector<Part>& parts, const Range& classes,
                          const KernelContext& context,
                          std::vector<Made>* made) const {
  for (size_t p = 0; p < parts.size(); ++p) {
    Made& part = (*made)[p];
    SetViews(parts[p].inputs, classes, context, &part.inputs);
    SetViews(parts[p].outputs, classes, context, &part.outputs);
    KernelContext of_part = context;
    of_part.inputs = part.inputs;
    of_part.outputs = part.outputs;
    of_part.workspace = static_cast<char*>(context.workspace) + scratch_bytes_;
    RETURN_IF_ERROR(part.kernel(of_part));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Program::Made>> Program::Make(
    const std::vector<Part>& parts, const Range& classes,
    CudaContext* cuda) const {
  std::vector<Made> made;
  for (const Part& part : parts) {
    KernelSpec spec = SpecOf(part, classes);
    spec.cuda = cuda;
    Made one;
    ASSIGN_OR_RETURN(one.kernel, part.kernel.create(spec));
    one.inputs.resize(part.inputs.size());
    one.outputs.resize(part.outputs.size());
    made.push_back(std::move(one));
  }
  return made;
}

absl::StatusOr<Kernel> Program::Create(CudaContext* cuda) const {
  // The last group may be smaller: kernels may know their sizes.
  struct State {
    Program program;
    std::vector<Made> once, each, last;
  };
  auto state = std::make_shared<State>(State{*this, {}, {}, {}});
  const int64_t groups = num_groups();
  ASSIGN_OR_RETURN(state->once, Make(once_, Group(0), cuda));
  ASSIGN_OR_RETURN(state->each, Make(each_, Group(0), cuda));
  ASSIGN_OR_RETURN(state->last, Make(each_, Group(groups - 1), cuda));
  return Kernel([state, groups](const KernelContext& context) -> absl::Status {
    const Program& program = state->program;
    RETURN_IF_ERROR(
        program.Run(program.once_, program.Group(0), context, &state->once));
    for (int64_t g = 0; g < groups; ++g) {
      RETURN_IF_ERROR(
          program.Run(program.each_, program.Group(g), context,
                      g + 1 < groups ? &state->each : &state->last));
    }
    return absl::OkStatus();
  });
}

Program SumProgram(const KernelSpec& spec, const HeadKernels& kernels) {
  constexpr int kX = 0, kW = 1, kLabels = 2;
  Program program(spec, kernels, kX, kW, kLabels);
  const int sum = program.Output(0), target_loss = program.Output(1);
  const int of_group = program.Scratch(program.slice(sum));
  const int ones = program.Scratch(program.slice(sum));
  const int target_of_group = program.Scratch(program.slice(target_loss));
  program.Fill(ones, 1);
  program.Fill(sum, 0);
  program.Fill(target_loss, 0);
  program.AddPart(kernels.margin_softmax_sum,
                  {program.cosines(), kLabels, program.shift()}, {of_group});
  program.AddTo(sum, of_group);
  // With a sum of 1 the loss of a row is the shift less its target's logit.
  program.AddPart(kernels.margin_softmax_loss,
                  {program.cosines(), kLabels, program.shift(), ones},
                  {target_of_group});
  program.AddTo(target_loss, target_of_group);
  return program;
}

Program GradInputProgram(const KernelSpec& spec, const HeadKernels& kernels) {
  constexpr int kX = 0, kW = 1, kLabels = 2, kSum = 3, kDloss = 4;
  Program program(spec, kernels, kX, kW, kLabels);
  const int dx = program.Output(0);
  const int of_group = program.Scratch(program.slice(dx));
  program.Fill(dx, 0);
  program.AddGradients(kLabels, kSum, kDloss);
  program.AddPart(kernels.cosine_linear_grad_input, {program.cosines(), kW},
                  {of_group});
  program.AddTo(dx, of_group);
  return program;
}

Program SgdProgram(const KernelSpec& spec, const HeadKernels& kernels) {
  constexpr int kW = 0, kMomentum = 1, kX = 2, kLabels = 3, kSum = 4,
                kDloss = 5, kScalars = 6;
  Program program(spec, kernels, kX, kW, kLabels);
  program.SplitRows(kMomentum);
  program.AddGradients(kLabels, kSum, kDloss);
  std::vector<int> inputs = {kW, kMomentum, kX, program.cosines()};
  for (int i = kScalars; i < static_cast<int>(spec.inputs.size()); ++i) {
    inputs.push_back(i);
  }
  program.AddPart(kernels.cosine_linear_sgd, std::move(inputs), {});
  return program;
}

KernelDef Of(HeadKernels kernels,
             Program (*make)(const KernelSpec&, const HeadKernels&)) {
  KernelDef def;
  auto shared = std::make_shared<const HeadKernels>(std::move(kernels));
  def.workspace_bytes = [=](const KernelSpec& spec) {
    return make(spec, *shared).WorkspaceBytes();
  };
  def.create = [=](const KernelSpec& spec) {
    return make(spec, *shared).Create(spec.cuda);
  };
  return def;
}

}  // namespace

KernelDef GroupedCosineSoftmaxSum(HeadKernels kernels) {
  return Of(std::move(kernels), SumProgram);
}

KernelDef GroupedCosineSoftmaxGradInput(HeadKernels kernels) {
  return Of(std::move(kernels), GradInputProgram);
}

KernelDef GroupedCosineSoftmaxSgd(HeadKernels kernels) {
  // The step's inputs and attributes are among those of the whole.
  auto depends_on_step = kernels.cosine_linear_sgd.depends_on_step;
  KernelDef def = Of(std::move(kernels), SgdProgram);
  def.depends_on_step = std::move(depends_on_step);
  return def;
}

}  // namespace facet::ops
