#include "placement/compile.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "ops/graph/graph_text.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/memory_check.h"
#include "placement/passes/apply_precision.h"
#include "placement/passes/assign_layout.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/bucket_collectives.h"
#include "placement/passes/choose_kernels.h"
#include "placement/passes/equal_devices.h"
#include "placement/passes/fuse.h"
#include "placement/passes/group_tasks.h"
#include "placement/passes/insert_boxing.h"
#include "placement/passes/make_plan.h"
#include "placement/passes/order_tasks.h"
#include "placement/passes/plan_memory.h"
#include "placement/passes/recompute.h"
#include "placement/passes/split_per_device.h"
#include "placement/plan/plan_text.h"
#include "placement/plan/validate.h"
#include "placement/plan/write_file.h"

namespace facet::placement {
namespace {

absl::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kFloat16:
      return "float16";
    case Precision::kBFloat16:
      return "bfloat16";
  }
  return "";
}

absl::Status CheckRequest(const ops::Graph& graph, const Cluster& cluster,
                          const CompileOptions& options) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  if (options.loss == ops::kNone) return absl::OkStatus();
  if (options.loss < 0 ||
      options.loss >= static_cast<int>(graph.tensors.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss is tensor ", options.loss, ", the graph has ",
                     graph.tensors.size()));
  }
  const ops::Tensor& loss = graph.tensors[options.loss];
  if (loss.type != ops::TensorType{ops::DataType::kFloat32, {}}) {
    return absl::InvalidArgumentError(
        absl::StrCat("the loss ", loss.name, " is ", loss.type.ToString(),
                     "; expected a scalar, float32[]"));
  }
  if (options.precision == Precision::kFloat16 &&
      !(options.initial_loss_scale > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("initial_loss_scale is ", options.initial_loss_scale,
                     "; float16 needs one above 0, such as 65536"));
  }
  return absl::OkStatus();
}

// Times the passes and writes what they made, if asked.
class PassLog {
 public:
  explicit PassLog(std::string dump_dir) : dump_dir_(std::move(dump_dir)) {}

  // Before the first, and after each pass.
  void Start() { start_ = absl::Now(); }

  absl::Status Graph(absl::string_view pass, const ops::Graph& graph) {
    RETURN_IF_ERROR(Verify(pass, graph));
    return Done(pass, [&] { return ops::GraphText(graph); });
  }

  // A pass on the graph breaks no rule of graphs.
  static absl::Status Verify(absl::string_view pass, const ops::Graph& graph) {
    const absl::Status status = ops::VerifyGraph(graph, ops::FindOp);
    if (status.ok()) return status;
    return absl::InternalError(
        absl::StrCat("after pass ", pass, ": ", status.message()));
  }

  void Time(absl::string_view pass) {
    VLOG(1) << "pass " << std::string(pass) << ": "
            << absl::FormatDuration(absl::Now() - start_);
    Start();
  }

  // `text` is a function: most runs dump nothing.
  template <typename Text>
  absl::Status Done(absl::string_view pass, const Text& text) {
    Time(pass);
    if (!dump_dir_.empty()) {
      std::string content = text();
      if (content != last_) {
        RETURN_IF_ERROR(WriteFileAtomically(
            absl::StrCat(dump_dir_, "/", pass, ".txt"), content));
        last_ = std::move(content);
      }
    }
    Start();
    return absl::OkStatus();
  }

 private:
  const std::string dump_dir_;
  std::string last_;
  absl::Time start_ = absl::Now();
};

std::string AssignmentText(const ops::Graph& graph,
                           const SbpAssignment& assignment) {
  std::string text =
      absl::StrFormat("step %.6g s, at least %.6g s under the search's rules\n",
                      assignment.seconds, assignment.lower_bound);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const ops::Node& node = graph.nodes[n];
    absl::StrAppend(&text, node.name, " (", node.op, ")\n");
    for (const SbpOption& option : assignment.options[n]) {
      absl::StrAppend(
          &text, option.signature == assignment.chosen[n] ? "  * " : "    ",
          option.signature.ToString(),
          absl::StrFormat(" compute %.4g s, communication %.4g s\n",
                          option.compute_seconds,
                          option.communication_seconds));
    }
  }
  return text;
}

// The graph, and how its tensors lie.
std::string PlacedText(const ops::Graph& graph,
                       const std::vector<ops::NdSbp>& sbp,
                       const std::vector<ops::Layout>* layout) {
  std::string text = ops::GraphText(graph);
  for (size_t t = 0; t < graph.tensors.size(); ++t) {
    absl::StrAppend(&text, graph.tensors[t].name, ": ", sbp[t].ToString());
    if (layout != nullptr && graph.tensors[t].type.shape.rank() == 4) {
      absl::StrAppend(&text, " ", ops::LayoutName((*layout)[t]));
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::string TasksText(const TaskGraph& graph) {
  std::string text;
  for (const LocalTask& task : graph.tasks) {
    absl::StrAppend(
        &text, "device ", task.device, " ",
        task.once ? "once" : std::string(ops::StreamKindName(task.stream)), " ",
        task.name, " = ",
        task.op.empty() ? std::string(CollectiveKindName(task.collective.kind))
                        : task.op);
    for (const auto& [name, value] : task.attributes.values()) {
      absl::StrAppend(&text, " ", name, "=", ops::AttributeToString(value));
    }
    absl::StrAppend(&text, " (");
    for (size_t i = 0; i < task.inputs.size(); ++i) {
      absl::StrAppend(&text, i > 0 ? ", %" : "%", task.inputs[i]);
    }
    absl::StrAppend(&text, ")");
    for (int r : task.outputs) {
      const LocalRegister& reg = graph.registers[r];
      absl::StrAppend(&text, " -> %", r, " ", reg.name,
                      reg.slice.shape.ToString());
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

// From SBPs to a plan. Of `recomputable` the first `count` are computed again.
absl::StatusOr<Plan> PlanPlaced(const PlacedGraph& kept,
                                const std::vector<Recomputable>& recomputable,
                                size_t count, const Cluster& cluster,
                                const CompileOptions& options, PassLog* log) {
  // Before layouts: copies get theirs as everybody does.
  PlacedGraph placed = kept;
  if (count > 0) {
    std::vector<ops::TensorId> tensors;
    for (size_t i = 0; i < count; ++i)
      tensors.push_back(recomputable[i].tensor);
    ASSIGN_OR_RETURN(placed, Recompute(kept, tensors, ops::FindOp));
    RETURN_IF_ERROR(PassLog::Verify("07_recompute", placed.graph));
    RETURN_IF_ERROR(log->Done("07_recompute", [&] {
      return PlacedText(placed.graph, placed.sbp, nullptr);
    }));
  }
  // Layouts before the split: reorders are nodes, the same on all devices.
  ASSIGN_OR_RETURN(LaidOutGraph laid_out,
                   AssignLayout(placed, cluster, ops::FindOp));
  RETURN_IF_ERROR(PassLog::Verify("08_assign_layout", laid_out.graph));
  RETURN_IF_ERROR(log->Done("08_assign_layout", [&] {
    return PlacedText(laid_out.graph, laid_out.sbp, &laid_out.layout);
  }));
  ASSIGN_OR_RETURN(
      TaskGraph tasks,
      SplitPerDevice(laid_out, cluster, options.data_credits, ops::FindOp,
                     options.state_equal_once
                         ? FindEqualDevices(laid_out, cluster)
                         : std::vector<int>()));
  RETURN_IF_ERROR(
      log->Done("09_split_per_device", [&] { return TasksText(tasks); }));
  // Kernels before anything that depends on what tasks need: orders, groups,
  // buckets and memory. Workspaces and times are asked for here.
  ASSIGN_OR_RETURN(
      tasks, ChooseKernels(std::move(tasks), cluster, options.preferred_kernels,
                           ops::FindOp));
  RETURN_IF_ERROR(
      log->Done("10_choose_kernels", [&] { return TasksText(tasks); }));
  // An order before groups and buckets: they join what is ready at about the
  // same time.
  ASSIGN_OR_RETURN(tasks, OrderTasks(std::move(tasks)));
  tasks = GroupTasks(std::move(tasks), cluster, ops::FindOp);
  RETURN_IF_ERROR(
      log->Done("11_group_tasks", [&] { return TasksText(tasks); }));
  tasks = BucketCollectives(std::move(tasks));
  RETURN_IF_ERROR(
      log->Done("12_bucket_collectives", [&] { return TasksText(tasks); }));
  // Order before memory: lifetimes are intervals of the order.
  ASSIGN_OR_RETURN(tasks, OrderTasks(std::move(tasks)));
  RETURN_IF_ERROR(
      log->Done("13_order_tasks", [&] { return TasksText(tasks); }));
  ASSIGN_OR_RETURN(const MemoryPlan memory,
                   PlanMemory(tasks, cluster.num_devices()));
  // The plan comes last: its waits depend on what shares memory.
  Plan plan = MakePlan(laid_out, tasks, memory, cluster, ops::FindOp);
  if (count > 0) {
    Recomputation* sum = plan.mutable_recomputation();
    sum->set_tensors(static_cast<int>(count));
    for (size_t i = 0; i < count; ++i) {
      sum->set_bytes(sum->bytes() + recomputable[i].bytes);
    }
    for (const LocalTask& task : tasks.tasks) {
      if (task.device != 0 || !absl::EndsWith(task.name, kAgain)) continue;
      sum->set_seconds(sum->seconds() + task.predicted_seconds);
    }
  }
  RETURN_IF_ERROR(log->Done("14_make_plan", [&] { return PlanText(plan); }));
  const absl::Status valid = ValidatePlan(plan);
  if (!valid.ok()) {
    return absl::InternalError(
        absl::StrCat("the compiler made an invalid plan: ", valid.message()));
  }
  return plan;
}

int64_t ArenaBytes(const Plan& plan) {
  int64_t bytes = 0;
  for (const Device& device : plan.devices()) bytes += device.arena_bytes();
  return bytes;
}

// How many of `recomputable` must go for the plan to fit; all, if that does not
// help. What a peak is made of is known when memory is planned, so by trying:
// the more go, the less is needed.
absl::StatusOr<size_t> FewestThatFit(
    const PlacedGraph& placed, const std::vector<Recomputable>& recomputable,
    const Cluster& cluster, const CompileOptions& options) {
  PassLog quiet("");
  size_t too_few = 0, enough = recomputable.size();
  for (size_t count = enough; enough > too_few + 1;
       count = too_few + (enough - too_few) / 2) {
    ASSIGN_OR_RETURN(const Plan plan, PlanPlaced(placed, recomputable, count,
                                                 cluster, options, &quiet));
    const bool fits = CheckMemory(plan, cluster).ok();
    if (!fits && count == recomputable.size()) break;
    if (fits) {
      enough = count;
    } else {
      too_few = count;
    }
  }
  return enough;
}

// `recompute`: as little as makes it fit; all there is to if nothing does, or
// if all is asked for.
absl::StatusOr<Plan> PlanCandidate(const PlacedModel& candidate, bool recompute,
                                   const Cluster& cluster,
                                   const CompileOptions& options,
                                   PassLog* log) {
  // What the choice was between, for people.
  RETURN_IF_ERROR(log->Done("05_assign_sbp", [&] {
    return AssignmentText(candidate.graph, candidate.assignment);
  }));
  // Boxing before layouts: what moves between devices must be known to say
  // which tensors have to be row-major.
  ASSIGN_OR_RETURN(
      const PlacedGraph placed,
      InsertBoxing(candidate.graph, candidate.assignment, ops::FindOp));
  RETURN_IF_ERROR(PassLog::Verify("06_insert_boxing", placed.graph));
  RETURN_IF_ERROR(log->Done("06_insert_boxing", [&] {
    return PlacedText(placed.graph, placed.sbp, nullptr);
  }));
  std::vector<Recomputable> recomputable;
  if (recompute) {
    recomputable = FindRecomputable(placed, cluster, ops::FindOp);
  }
  size_t count = recomputable.size();
  if (count > 0 && options.recomputing != Recomputing::kAll) {
    ASSIGN_OR_RETURN(count,
                     FewestThatFit(placed, recomputable, cluster, options));
  }
  ASSIGN_OR_RETURN(Plan plan, PlanPlaced(placed, recomputable, count, cluster,
                                         options, log));
  plan.set_search_seconds(candidate.assignment.seconds);
  plan.set_search_lower_bound_seconds(candidate.assignment.lower_bound);
  return plan;
}

void AddOption(absl::string_view name, std::string value, Plan* plan) {
  Option* option = plan->add_options();
  option->set_name(std::string(name));
  option->set_value(std::move(value));
}

void AddOptions(const ops::Graph& graph, const Cluster& cluster,
                const CompileOptions& options, bool fused, Plan* plan) {
  AddOption("precision", std::string(PrecisionName(options.precision)), plan);
  AddOption("rounding", std::string(RoundingName(options.rounding)), plan);
  AddOption("fuse", options.fuse ? "true" : "false", plan);
  AddOption("fused", fused ? "true" : "false", plan);
  AddOption("data_credits", absl::StrCat(options.data_credits), plan);
  AddOption("recompute", std::string(RecomputingName(options.recomputing)),
            plan);
  if (cluster.kernel_timer != nullptr) AddOption("kernels", "measured", plan);
  for (const auto& [name, value] : options.preferred_kernels.values()) {
    AddOption("preferred_kernels",
              absl::StrCat(name, "=", ops::AttributeToString(value)), plan);
  }
  for (const auto& [tensor, sbp] : options.pins) {
    AddOption("pin", absl::StrCat(tensor, "=", sbp.ToString()), plan);
  }
  if (options.loss == ops::kNone) return;
  const OptimizerOptions& o = options.optimizer;
  AddOption("loss", graph.tensors[options.loss].name, plan);
  AddOption("learning_rate", absl::StrCat(o.learning_rate), plan);
  AddOption("momentum", absl::StrCat(o.momentum), plan);
  AddOption("weight_decay", absl::StrCat(o.weight_decay), plan);
  AddOption("warmup_steps", absl::StrCat(o.warmup_steps), plan);
  AddOption("warmup_style", o.warmup_style, plan);
  AddOption("total_steps", absl::StrCat(o.total_steps), plan);
  AddOption("decay_power", absl::StrCat(o.decay_power), plan);
  AddOption("clip_norm", absl::StrCat(o.clip_norm), plan);
  AddOption("row_update", o.row_update, plan);
  if (options.precision == Precision::kFloat16) {
    AddOption("initial_loss_scale", absl::StrCat(options.initial_loss_scale),
              plan);
  }
}

bool SameOps(const ops::Graph& a, const ops::Graph& b) {
  if (a.nodes.size() != b.nodes.size()) return false;
  for (size_t n = 0; n < a.nodes.size(); ++n) {
    if (a.nodes[n].op != b.nodes[n].op) return false;
  }
  return true;
}

bool HasPinned(const ops::Graph& graph,
               const std::map<std::string, ops::NdSbp>& pins) {
  return std::all_of(pins.begin(), pins.end(), [&](const auto& pin) {
    return ops::FindTensor(graph, pin.first) != ops::kNone;
  });
}

absl::StatusOr<std::vector<PlacedModel>> PlaceModel(
    const ops::Graph& graph, const Cluster& cluster,
    const CompileOptions& options, PassLog* log) {
  RETURN_IF_ERROR(CheckRequest(graph, cluster, options));
  RETURN_IF_ERROR(PassLog::Verify("00_model", graph));
  RETURN_IF_ERROR(log->Graph("00_model", graph));

  ops::Graph current = graph;
  if (options.loss != ops::kNone) {
    // Gradients first: everything after treats them like any other work.
    const bool scales = options.precision == Precision::kFloat16;
    ASSIGN_OR_RETURN(
        DifferentiatedGraph differentiated,
        Autodiff(std::move(current), options.loss,
                 scales ? options.initial_loss_scale : 0, ops::FindOp));
    RETURN_IF_ERROR(log->Graph("01_autodiff", differentiated.graph));
    ASSIGN_OR_RETURN(current, AppendOptimizer(std::move(differentiated),
                                              options.optimizer, ops::FindOp));
    RETURN_IF_ERROR(log->Graph("02_append_optimizer", current));
  }
  if (options.precision != Precision::kFloat32) {
    // After the optimizer, whose updates stay in float32; before fusing,
    // whose patterns and costs depend on the types.
    ASSIGN_OR_RETURN(current,
                     ApplyPrecision(current,
                                    options.precision == Precision::kFloat16
                                        ? ops::DataType::kFloat16
                                        : ops::DataType::kBFloat16,
                                    ops::FindOp));
    RETURN_IF_ERROR(log->Graph("03_apply_precision", current));
  }
  // Before costs are asked for.
  current = AllowRounding(std::move(current), options.rounding, ops::FindOp);

  // Fused ops save memory traffic. Those that have fewer signatures (a head
  // that updates its weight by tiles wants them split) are a choice: both
  // graphs are assigned, and the cheaper one that fits is taken. A tie goes to
  // the fused one.
  std::vector<PlacedModel> candidates;
  auto add = [&](bool fused, ops::Graph g) -> absl::Status {
    ASSIGN_OR_RETURN(SbpAssignment assignment,
                     AssignSbp(g, cluster, options.pins, ops::FindOp));
    log->Time(fused ? "05_assign_sbp, fused" : "05_assign_sbp, not fused");
    candidates.push_back({fused, std::move(g), std::move(assignment)});
    return absl::OkStatus();
  };
  if (options.fuse) {
    ASSIGN_OR_RETURN(ops::Graph better,
                     Fuse(current, ops::AllOps(), FuseRules::kKeepingSignatures,
                          ops::FindOp));
    // A pin may name a tensor that fusing removes.
    if (HasPinned(better, options.pins)) current = std::move(better);
    ASSIGN_OR_RETURN(ops::Graph fused, Fuse(current, ops::AllOps(),
                                            FuseRules::kAll, ops::FindOp));
    RETURN_IF_ERROR(log->Graph("04_fuse", fused));
    if (!SameOps(fused, current)) {
      // It may fail where the unfused one does not, again because of a pin.
      const absl::Status status = add(true, std::move(fused));
      if (!status.ok()) VLOG(1) << "not fused: " << status;
    }
  }
  const absl::Status unfused = add(false, std::move(current));
  if (candidates.empty()) return unfused;
  if (candidates.size() == 2 &&
      candidates[1].assignment.seconds <
          candidates[0].assignment.seconds * (1 - 1e-9)) {
    std::swap(candidates[0], candidates[1]);
  }
  return candidates;
}

}  // namespace

absl::string_view RecomputingName(Recomputing recomputing) {
  switch (recomputing) {
    case Recomputing::kNone:
      return "none";
    case Recomputing::kAuto:
      return "auto";
    case Recomputing::kAll:
      return "all";
  }
  return "";
}

absl::StatusOr<std::vector<PlacedModel>> PlaceModel(
    const ops::Graph& graph, const Cluster& cluster,
    const CompileOptions& options) {
  PassLog log(options.dump_dir);
  return PlaceModel(graph, cluster, options, &log);
}

absl::StatusOr<Plan> Compile(const ops::Graph& graph, const Cluster& cluster,
                             const CompileOptions& options) {
  ASSIGN_OR_RETURN(Compilation compilation,
                   CompileWithReasons(graph, cluster, options));
  return std::move(compilation.plan);
}

absl::StatusOr<Compilation> CompileWithReasons(const ops::Graph& graph,
                                               const Cluster& cluster,
                                               const CompileOptions& options) {
  PassLog log(options.dump_dir);
  ASSIGN_OR_RETURN(std::vector<PlacedModel> candidates,
                   PlaceModel(graph, cluster, options, &log));

  absl::Status too_big;
  int64_t least = 0;  // Of the candidates that do not fit.
  for (const bool recompute : {false, true}) {
    if (recompute ? options.recomputing == Recomputing::kNone
                  : options.recomputing == Recomputing::kAll) {
      continue;
    }
    for (PlacedModel& candidate : candidates) {
      ASSIGN_OR_RETURN(Plan plan, PlanCandidate(candidate, recompute, cluster,
                                                options, &log));
      const absl::Status fits = CheckMemory(plan, cluster);
      if (fits.ok()) {
        // Only now: a plan with limits that it does not keep would be invalid.
        for (int d = 0; d < plan.devices_size(); ++d) {
          plan.mutable_devices(d)->set_memory_bytes(
              cluster.devices[d].memory_bytes);
        }
        AddOptions(graph, cluster, options, candidate.fused, &plan);
        return Compilation{std::move(plan), std::move(candidate.graph),
                           std::move(candidate.assignment)};
      }
      const int64_t total = ArenaBytes(plan);
      if (too_big.ok() || total < least) {
        too_big = fits;
        least = total;
      }
    }
  }
  return too_big;
}

}  // namespace facet::placement
