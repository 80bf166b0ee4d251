#include "runtime/actor/task_runner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "ops/graph/every.h"
#include "ops/status_macros.h"
#include "placement/plan/attribute.h"
#include "placement/plan/task_parts.h"
#include "runtime/actor/non_finite.h"

namespace facet::runtime {
namespace {

template <typename Repeated>
ops::Shape ToShape(const Repeated& dims) {
  ops::Shape shape;
  for (int64_t dim : dims) shape.push_back(dim);
  return shape;
}

std::vector<ops::TensorSlice> SlicesOf(
    absl::Span<const ops::TensorView> views) {
  std::vector<ops::TensorSlice> slices;
  for (const ops::TensorView& view : views) slices.push_back(view.slice);
  return slices;
}

}  // namespace

ops::TensorSlice RegisterSlice(const placement::Register& reg) {
  const absl::StatusOr<ops::DataType> dtype = ops::ParseDataType(reg.dtype());
  const absl::StatusOr<ops::Layout> layout = ops::ParseLayout(reg.layout());
  CHECK(dtype.ok() && layout.ok()) << reg.name();
  ops::TensorSlice slice;
  slice.dtype = *dtype;
  slice.layout = *layout;
  slice.shape = ToShape(reg.shape());
  slice.global_shape = ToShape(reg.global_shape());
  slice.offset = ToShape(reg.offset());
  return slice;
}

absl::StatusOr<TaskRunner> TaskRunner::Create(
    const placement::Plan& plan, const placement::Task& task, Device* device,
    Stream* stream, char* arena, Communicator* communicator,
    const TaskEnvironment& environment) {
  TaskRunner runner;
  runner.stream_ = stream;
  runner.device_ = device;
  runner.check_finite_ = environment.check_finite;
  auto add = [&](int register_id, bool is_input) {
    const placement::Register& reg = plan.registers(register_id);
    char* base = arena + reg.arena_offset();
    std::vector<ops::TensorView>& views =
        is_input ? runner.inputs_ : runner.outputs_;
    if (reg.credits() > 1) {
      runner.rotating_.push_back({is_input, static_cast<int>(views.size()),
                                  base, reg.slot_stride_bytes(),
                                  reg.credits()});
    }
    views.push_back({RegisterSlice(reg), base});
  };
  for (int id : task.inputs()) add(id, true);
  for (int id : task.outputs()) add(id, false);
  runner.first_step_ = environment.first_step;
  // `once` tasks run in step -1, and nothing else does.
  runner.every_ = task.every();
  if (task.has_collective()) {
    CHECK(communicator != nullptr) << task.name();
    const placement::Collective& collective = task.collective();
    runner.communicator_ = communicator;
    runner.collective_ = collective.kind();
    runner.reduce_ = collective.reduce() == placement::Collective::MAX
                         ? ReduceOp::kMax
                         : ReduceOp::kSum;
    runner.counts_.assign(collective.counts().begin(),
                          collective.counts().end());
    runner.receive_counts_.assign(collective.receive_counts().begin(),
                                  collective.receive_counts().end());
    if (collective.kind() == placement::Collective::ALL_REDUCE) {
      runner.buffers_.resize(runner.inputs_.size());
    }
    const std::vector<ops::TensorView>& views =
        runner.inputs_.empty() ? runner.outputs_ : runner.inputs_;
    // A member of an all-to-all that neither sends nor receives has none.
    if (!views.empty()) runner.dtype_ = views[0].dtype();
    return runner;
  }

  const ops::KernelDef* def = device->kernels().find(task.op());
  if (def == nullptr || def->create == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("task ", task.name(), ": op ", task.op(), " has no ",
                     device->kernels().device_kind, " kernel"));
  }
  const int parts = placement::NumParts(task);
  const size_t num_inputs = runner.inputs_.size() / parts;
  const size_t num_outputs = runner.outputs_.size() / parts;
  ops::KernelContext context;
  context.seed = environment.seed;
  context.data_source = environment.data_source;
  context.fetch_sink = environment.fetch_sink;
  context.cuda = stream->cuda();
  ops::KernelSpec spec;
  ASSIGN_OR_RETURN(spec.attributes, placement::ReadAttributes(task));
  spec.rank = task.rank();
  spec.num_ranks = task.num_ranks();
  std::vector<ops::KernelSpec> specs;
  int64_t workspace_bytes = 0;
  for (int part = 0; part < parts; ++part) {
    // Of vectors that a move of the runner leaves where they are.
    context.inputs = absl::MakeConstSpan(runner.inputs_)
                         .subspan(part * num_inputs, num_inputs);
    context.outputs = absl::MakeConstSpan(runner.outputs_)
                          .subspan(part * num_outputs, num_outputs);
    spec.inputs = SlicesOf(context.inputs);
    spec.outputs = SlicesOf(context.outputs);
    context.workspace = nullptr;
    if (def->workspace_bytes != nullptr) {
      spec.cuda = nullptr;
      ASSIGN_OR_RETURN(const int64_t needed, def->workspace_bytes(spec));
      if (needed > 0) {
        context.workspace = arena + task.workspace_offset() + workspace_bytes;
      }
      workspace_bytes +=
          parts > 1 ? placement::PartWorkspaceBytes(needed) : needed;
    }
    spec.cuda = stream->cuda();
    specs.push_back(spec);
    runner.parts_.push_back(context);
  }
  if (workspace_bytes > task.workspace_bytes()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "task %s needs a workspace of %d bytes on this machine, the plan has "
        "%d: it was compiled for another machine; compile it again here",
        task.name(), workspace_bytes, task.workspace_bytes()));
  }
  ASSIGN_OR_RETURN(runner.kernel_, ops::CreateGroupKernel(*def, specs));
  runner.is_same_in_every_step_ =
      device->asynchronous() && !task.once() && task.every() <= 1 &&
      runner.rotating_.empty() &&
      (def->depends_on_step == nullptr ||
       std::none_of(specs.begin(), specs.end(), def->depends_on_step));
  return runner;
}

absl::Status TaskRunner::Run(int64_t step) {
  const int64_t known_as = step < 0 ? step : first_step_ + step;
  works_ = ops::EndsRound(every_, known_as);
  if (!works_) return absl::OkStatus();
  for (const Rotating& rotating : rotating_) {
    std::vector<ops::TensorView>& views =
        rotating.is_input ? inputs_ : outputs_;
    views[rotating.operand].data =
        rotating.base + step % rotating.credits * rotating.stride;
  }
  if (communicator_ != nullptr) return RunCollective();
  for (ops::KernelContext& part : parts_) {
    part.step = is_same_in_every_step_ ? ops::KernelContext::kNoStep : known_as;
  }
  return kernel_(parts_);
}

absl::StatusOr<int> TaskRunner::NonFiniteOutput() const {
  constexpr int64_t kFew = 4096;
  const bool is_readable = device_->host_accessible();
  if (!works_ || !(check_finite_ || is_readable)) return -1;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const ops::TensorView& view = outputs_[i];
    const int64_t count = view.slice.num_elements();
    const bool is_small =
        view.dtype() == ops::DataType::kFloat32 && count <= kFew;
    if (!check_finite_ && !is_small) continue;
    bool found = false;
    if (is_readable) {
      found = HasNonFinite(view.dtype(), view.data, count);
    } else {
      ASSIGN_OR_RETURN(found, HasNonFiniteOnDevice(view));
    }
    if (found) return static_cast<int>(i);
  }
  return -1;
}

// In pieces: a share of the class weights has gigabytes. CopyToHost waits.
absl::StatusOr<bool> TaskRunner::HasNonFiniteOnDevice(
    const ops::TensorView& view) const {
  constexpr int64_t kPieceBytes = int64_t{256} << 10;
  const int64_t element_bytes = ops::SizeInBytes(view.dtype());
  const int64_t bytes = view.slice.num_elements() * element_bytes;
  std::vector<char> piece(std::min(bytes, kPieceBytes));
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    const int64_t size = std::min(kPieceBytes, bytes - begin);
    RETURN_IF_ERROR(
        device_->CopyToHost(view.as<const char>() + begin, piece.data(), size));
    if (HasNonFinite(view.dtype(), piece.data(), size / element_bytes)) {
      return true;
    }
  }
  return false;
}

absl::Status TaskRunner::RunCollective() {
  const void* in = inputs_.empty() ? nullptr : inputs_[0].data;
  void* out = outputs_.empty() ? nullptr : outputs_[0].data;
  switch (collective_) {
    case placement::Collective::ALL_REDUCE:
      for (size_t i = 0; i < buffers_.size(); ++i) {
        buffers_[i] = {inputs_[i].dtype(), inputs_[i].data, outputs_[i].data,
                       inputs_[i].slice.num_elements()};
      }
      return communicator_->AllReduce(*stream_, reduce_, buffers_);
    case placement::Collective::ALL_GATHER:
      return communicator_->AllGather(*stream_, dtype_, in, out, counts_);
    case placement::Collective::REDUCE_SCATTER:
      return communicator_->ReduceScatter(*stream_, reduce_, dtype_, in, out,
                                          counts_);
    case placement::Collective::ALL_TO_ALL:
      return communicator_->AllToAll(*stream_, dtype_, in, out, counts_,
                                     receive_counts_);
    default:
      LOG(FATAL) << "collective kind " << collective_;
      return absl::OkStatus();
  }
}

}  // namespace facet::runtime
