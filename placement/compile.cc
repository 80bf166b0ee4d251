#include "placement/compile.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/memory_check.h"
#include "placement/pass_log.h"
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

// A plan in which the fewest of `recomputable` go that make it fit; all, if
// that does not help. What a peak is made of is known when memory is planned,
// so by trying: the more go, the less is needed.
absl::StatusOr<Plan> PlanThatFits(const PlacedGraph& placed,
                                  const std::vector<Recomputable>& recomputable,
                                  const Cluster& cluster,
                                  const CompileOptions& options, PassLog* log) {
  PassLog quiet("");
  size_t enough = recomputable.size();
  ASSIGN_OR_RETURN(Plan plan, PlanPlaced(placed, recomputable, enough, cluster,
                                         options, &quiet));
  size_t too_few = CheckMemory(plan, cluster).ok() ? 0 : enough;
  while (enough > too_few + 1) {
    const size_t count = too_few + (enough - too_few) / 2;
    ASSIGN_OR_RETURN(Plan tried, PlanPlaced(placed, recomputable, count,
                                            cluster, options, &quiet));
    if (CheckMemory(tried, cluster).ok()) {
      enough = count;
      plan = std::move(tried);
    } else {
      too_few = count;
    }
  }
  // The last one tried need not be the one taken: only that is dumped.
  if (!log->dumps()) return plan;
  return PlanPlaced(placed, recomputable, enough, cluster, options, log);
}

// `recompute`: keep fewer activations.
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
  absl::StatusOr<Plan> plan =
      recomputable.empty() || options.recomputing == Recomputing::kAll
          ? PlanPlaced(placed, recomputable, recomputable.size(), cluster,
                       options, log)
          : PlanThatFits(placed, recomputable, cluster, options, log);
  RETURN_IF_ERROR(plan.status());
  plan->set_search_seconds(candidate.assignment.seconds);
  plan->set_search_lower_bound_seconds(candidate.assignment.lower_bound);
  return plan;
}

void AddOption(absl::string_view name, std::string value, Plan* plan) {
  Option* option = plan->add_options();
  option->set_name(std::string(name));
  option->set_value(std::move(value));
}

void AddOptions(const ops::Graph& graph, const Cluster& cluster,
                const CompileOptions& options, const PlacedModel& chosen,
                Plan* plan) {
  AddOption("precision", std::string(PrecisionName(options.precision)), plan);
  AddOption("rounding", std::string(RoundingName(options.rounding)), plan);
  AddOption("fuse", options.fuse ? "true" : "false", plan);
  AddOption("fused", chosen.fused ? "true" : "false", plan);
  AddOption("data_credits", absl::StrCat(options.data_credits), plan);
  AddOption("recompute", std::string(RecomputingName(options.recomputing)),
            plan);
  AddOption("split_parameters", std::string(SplittingName(options.splitting)),
            plan);
  AddOption("parameters",
            chosen.parameters == Parameters::kSplit ? "split" : "fastest",
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
  if (o.accumulate > 1)
    AddOption("accumulate", absl::StrCat(o.accumulate), plan);
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
    const CompileOptions& options, Parameters parameters, PassLog* log) {
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
    ASSIGN_OR_RETURN(
        SbpAssignment assignment,
        AssignSbp(g, cluster, options.pins, ops::FindOp, parameters));
    log->Time(fused ? "05_assign_sbp, fused" : "05_assign_sbp, not fused");
    candidates.push_back(
        {fused, parameters, std::move(g), std::move(assignment)});
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

Parameters FirstParameters(const CompileOptions& options) {
  return options.splitting == Splitting::kAll ? Parameters::kSplit
                                              : Parameters::kFastest;
}

// Makes plans of candidates, and remembers what a user wants to know.
class PlanChooser {
 public:
  PlanChooser(const ops::Graph& graph, const Cluster& cluster,
              const CompileOptions& options)
      : graph_(graph), cluster_(cluster), options_(options) {}

  // The plan of the candidate, if it fits; `recompute`: keep fewer activations.
  absl::StatusOr<std::optional<Plan>> Try(const PlacedModel& candidate,
                                          bool recompute, PassLog* log);
  // Of what did not fit: the error of what needs least.
  const absl::Status& too_big() const { return too_big_; }

 private:
  const ops::Graph& graph_;
  const Cluster& cluster_;
  const CompileOptions& options_;
  absl::Status too_big_;
  int64_t least_ = 0;
};

absl::StatusOr<std::optional<Plan>> PlanChooser::Try(
    const PlacedModel& candidate, bool recompute, PassLog* log) {
  ASSIGN_OR_RETURN(
      Plan plan, PlanCandidate(candidate, recompute, cluster_, options_, log));
  const absl::Status fits = CheckMemory(plan, cluster_);
  if (!fits.ok()) {
    const int64_t total = ArenaBytes(plan);
    if (too_big_.ok() || total < least_) {
      too_big_ = fits;
      least_ = total;
    }
    return std::nullopt;
  }
  // Only now: a plan with limits that it does not keep would be invalid.
  for (int d = 0; d < plan.devices_size(); ++d) {
    plan.mutable_devices(d)->set_memory_bytes(cluster_.devices[d].memory_bytes);
  }
  AddOptions(graph_, cluster_, options_, candidate, &plan);
  return plan;
}

}  // namespace

absl::string_view SplittingName(Splitting splitting) {
  switch (splitting) {
    case Splitting::kNone:
      return "none";
    case Splitting::kAuto:
      return "auto";
    case Splitting::kAll:
      return "all";
  }
  return "";
}

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
  return PlaceModel(graph, cluster, options, FirstParameters(options), &log);
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
  PlanChooser chooser(graph, cluster, options);
  struct Choice {
    PlacedModel model;
    bool recompute = false;
    Plan plan;
  };
  std::optional<Choice> best;
  // Of models for the same parameters, the cheaper one first: the first that
  // fits, if it beats what there is. Whether there was one.
  auto add_first = [&](const std::vector<PlacedModel>& models, bool recompute,
                       PassLog* passes) -> absl::StatusOr<bool> {
    for (const PlacedModel& model : models) {
      ASSIGN_OR_RETURN(std::optional<Plan> plan,
                       chooser.Try(model, recompute, passes));
      if (!plan.has_value()) continue;
      if (!best.has_value() || plan->predicted_step_seconds() <
                                   best->plan.predicted_step_seconds()) {
        best = Choice{model, recompute, *std::move(plan)};
      }
      return true;
    }
    return false;
  };
  auto result = [&] {
    return Compilation{std::move(best->plan), std::move(best->model.graph),
                       std::move(best->model.assignment),
                       best->model.parameters};
  };
  const bool may_keep = options.recomputing != Recomputing::kAll;
  const bool may_recompute = options.recomputing != Recomputing::kNone;
  ASSIGN_OR_RETURN(
      const std::vector<PlacedModel> models,
      PlaceModel(graph, cluster, options, FirstParameters(options), &log));
  if (may_keep) {
    ASSIGN_OR_RETURN(const bool fits, add_first(models, false, &log));
    if (fits) return result();
  }
  // What saves memory takes time: which takes less is a matter of the model and
  // the links, so both are tried, and both together if one is not enough.
  PassLog quiet("");
  if (may_recompute) {
    RETURN_IF_ERROR(add_first(models, true, &quiet).status());
  }
  if (options.splitting == Splitting::kAuto && cluster.num_devices() > 1) {
    const absl::StatusOr<std::vector<PlacedModel>> split =
        PlaceModel(graph, cluster, options, Parameters::kSplit, &quiet);
    // It may be impossible, because of a pin.
    if (split.ok()) {
      bool fits = false;
      if (may_keep) {
        ASSIGN_OR_RETURN(fits, add_first(*split, false, &quiet));
      }
      if (!fits && may_recompute) {
        RETURN_IF_ERROR(add_first(*split, true, &quiet).status());
      }
    }
  }
  if (!best.has_value()) return chooser.too_big();
  // The last one tried need not be the one taken: only that is dumped.
  if (log.dumps()) {
    RETURN_IF_ERROR(chooser.Try(best->model, best->recompute, &log).status());
  }
  return result();
}

}  // namespace facet::placement
