#include "placement/compile.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// From SBPs to a plan.
absl::StatusOr<Plan> PlanPlaced(const PlacedModel& model,
                                const Cluster& cluster,
                                const CompileOptions& options, PassLog* log) {
  // What the choice was between, for people.
  const SbpAssignment& assignment = model.assignment;
  RETURN_IF_ERROR(log->Done("05_assign_sbp", [&] {
    return AssignmentText(model.graph, assignment);
  }));
  // Boxing before layouts: what moves between devices must be known to say
  // which tensors have to be row-major.
  ASSIGN_OR_RETURN(PlacedGraph placed,
                   InsertBoxing(model.graph, assignment, ops::FindOp));
  RETURN_IF_ERROR(PassLog::Verify("06_insert_boxing", placed.graph));
  RETURN_IF_ERROR(log->Done("06_insert_boxing", [&] {
    return PlacedText(placed.graph, placed.sbp, nullptr);
  }));
  // Before layouts: copies get theirs as everybody does.
  std::vector<ops::TensorId> tensors;
  for (const MadeAgain& again : assignment.again) {
    if (again.gathered) continue;
    tensors.push_back(
        ops::FindTensor(placed.graph, model.graph.tensors[again.tensor].name));
  }
  if (!tensors.empty()) {
    ASSIGN_OR_RETURN(placed, Recompute(placed, tensors, ops::FindOp));
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
  if (!assignment.again.empty()) {
    Recomputation* sum = plan.mutable_recomputation();
    sum->set_tensors(static_cast<int>(tensors.size()));
    sum->set_gathered(
        static_cast<int>(assignment.again.size() - tensors.size()));
    for (const MadeAgain& again : assignment.again) {
      sum->set_bytes(sum->bytes() + static_cast<int64_t>(again.bytes));
    }
    for (const LocalTask& task : tasks.tasks) {
      if (task.device != 0 || !task.origin.again) continue;
      sum->set_seconds(sum->seconds() + task.predicted_seconds);
    }
  }
  plan.set_search_seconds(assignment.seconds);
  plan.set_search_lower_bound_seconds(assignment.lower_bound);
  RETURN_IF_ERROR(log->Done("14_make_plan", [&] { return PlanText(plan); }));
  const absl::Status valid = ValidatePlan(plan);
  if (!valid.ok()) {
    return absl::InternalError(
        absl::StrCat("the compiler made an invalid plan: ", valid.message()));
  }
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
            chosen.assignment.shared_out.empty() ? "fastest" : "split", plan);
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

// Of the first search, which takes no account of memory.
SbpRules FirstRules(const CompileOptions& options) {
  return {options.splitting == Splitting::kAll ? Parameters::kSplit
                                               : Parameters::kFastest,
          options.recomputing == Recomputing::kAll ? Keeping::kLeast
                                                   : Keeping::kAll};
}

// Where memory is short.
SbpRules RulesWithin(const CompileOptions& options, const Cluster& cluster) {
  SbpRules rules = FirstRules(options);
  if (options.splitting == Splitting::kAuto && cluster.num_devices() > 1) {
    rules.parameters = Parameters::kMaySplit;
  }
  if (options.recomputing == Recomputing::kAuto) {
    rules.keeping = Keeping::kChosen;
  }
  return rules;
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
  const SbpRules rules = FirstRules(options);
  std::vector<PlacedModel> candidates;
  auto add = [&](bool fused, ops::Graph g) -> absl::Status {
    ASSIGN_OR_RETURN(SbpAssignment assignment,
                     AssignSbp(g, cluster, options.pins, ops::FindOp, rules));
    log->Time(fused ? "05_assign_sbp, fused" : "05_assign_sbp, not fused");
    candidates.push_back({fused, rules, std::move(g), std::move(assignment)});
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

// What a plan is for that fits into memory, and how it fits.
struct Tried {
  PlacedModel model;
  Plan plan;
  double bytes_over = 0;
  absl::Status fits;
};

absl::StatusOr<Tried> Try(PlacedModel model, const Cluster& cluster,
                          const CompileOptions& options, PassLog* log) {
  Tried tried;
  ASSIGN_OR_RETURN(tried.plan, PlanPlaced(model, cluster, options, log));
  tried.model = std::move(model);
  tried.bytes_over = BytesOver(tried.plan, cluster);
  tried.fits = CheckMemory(tried.plan, cluster);
  return tried;
}

// Fitting before fast, fast before small.
bool IsBetter(const Tried& a, const Tried& b) {
  if (a.fits.ok() != b.fits.ok()) return a.fits.ok();
  return a.fits.ok() ? a.model.assignment.seconds < b.model.assignment.seconds
                     : a.bytes_over < b.bytes_over;
}

// Searches for a plan that fits, of the same graph as `first`, which does not.
// What it needs beside what the search counts (gradients, workspaces, gaps
// between registers) is known when it is planned: so what may be held is what
// the last plan held less what it was too large, until that is true. If nothing
// fits: what needs least. Not worth the search if it cannot be faster than
// `worth_below` seconds: then `first`.
absl::StatusOr<Tried> FitIntoMemory(const Tried& first, double worth_below,
                                    const Cluster& cluster,
                                    const CompileOptions& options) {
  constexpr size_t kMostPlans = 8;
  // What is not worth another plan: part of what is held, of a step's time.
  constexpr double kSmallPart = 1e-3;
  PassLog quiet("");
  const SbpRules rules = RulesWithin(options, cluster);
  ASSIGN_OR_RETURN(SbpSearch search,
                   SbpSearch::Make(first.model.graph, cluster, options.pins,
                                   ops::FindOp, rules));
  Tried best = first;
  // By what was found (its seconds and what it holds): bytes over, if planned.
  std::map<std::pair<double, double>, double> planned;
  // Limits below which there is nothing better, and above.
  double too_little = 0;
  double too_much = first.model.assignment.held_bytes;
  double limit = too_much - first.bytes_over;
  while (planned.size() < kMostPlans &&
         too_much - too_little > kSmallPart * too_much) {
    absl::StatusOr<SbpAssignment> found = search.Within(limit);
    const bool is_least = !found.ok();
    if (is_least) {
      if (!absl::IsResourceExhausted(found.status())) return found.status();
      found = search.Least();
      RETURN_IF_ERROR(found.status());
    }
    const double seconds = found->seconds;
    const double held = found->held_bytes;
    if (planned.empty() && found->lower_bound >= worth_below) break;
    const auto [over, is_new] = planned.try_emplace({seconds, held}, 0.0);
    if (is_new) {
      ASSIGN_OR_RETURN(Tried next, Try({first.model.fused, rules,
                                        first.model.graph, *std::move(found)},
                                       cluster, options, &quiet));
      over->second = next.bytes_over;
      VLOG(1) << "of " << limit << " bytes " << held << " held in " << seconds
              << " s, " << next.plan.recomputation().tensors()
              << " activations and " << next.plan.recomputation().gathered()
              << " parameters made again: " << next.bytes_over << " too many";
      if (IsBetter(next, best)) best = std::move(next);
    }
    const bool fits = over->second <= 0;
    if (is_least && !fits) break;
    // What was found is found at all limits down to what it holds.
    if (fits) {
      too_little = std::max(too_little, limit);
    } else {
      too_much = std::min(too_much, held);
    }
    limit = held - over->second;
    if (limit <= too_little || limit >= too_much) {
      limit = (too_little + too_much) / 2;
    }
    if (best.fits.ok() &&
        best.model.assignment.seconds <
            (1 + kSmallPart) * first.model.assignment.seconds) {
      break;
    }
  }
  return best;
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
  ASSIGN_OR_RETURN(std::vector<PlacedModel> models,
                   PlaceModel(graph, cluster, options, &log));
  std::optional<Tried> best;
  std::vector<Tried> too_big;
  // The cheaper one first.
  for (PlacedModel& model : models) {
    ASSIGN_OR_RETURN(Tried tried,
                     Try(std::move(model), cluster, options, &log));
    if (tried.fits.ok()) {
      best = std::move(tried);
      break;
    }
    too_big.push_back(std::move(tried));
  }
  if (!best.has_value()) {
    for (const Tried& first : too_big) {
      const double worth_below = best.has_value() && best->fits.ok()
                                     ? best->model.assignment.seconds
                                     : std::numeric_limits<double>::infinity();
      ASSIGN_OR_RETURN(Tried tried,
                       FitIntoMemory(first, worth_below, cluster, options));
      if (!best.has_value() || IsBetter(tried, *best)) best = std::move(tried);
    }
    if (!best->fits.ok()) return best->fits;
    // Of all that were tried only what is taken is dumped.
    if (log.dumps()) {
      RETURN_IF_ERROR(PlanPlaced(best->model, cluster, options, &log).status());
    }
  }
  // Only now: a plan with limits that it does not keep would be invalid.
  Plan& plan = best->plan;
  for (int d = 0; d < plan.devices_size(); ++d) {
    plan.mutable_devices(d)->set_memory_bytes(cluster.devices[d].memory_bytes);
  }
  AddOptions(graph, cluster, options, best->model, &plan);
  return Compilation{std::move(plan), std::move(best->model.graph),
                     std::move(best->model.assignment), best->model.rules};
}

}  // namespace facet::placement
