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
#include "placement/fit_into_memory.h"
#include "placement/pass_log.h"
#include "placement/passes/apply_precision.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/fuse.h"
#include "placement/plan_placed.h"

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
  if (chosen.logits_again) AddOption("logits", "made again", plan);
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
  const SbpRules rules = FirstRules(options);
  std::vector<PlacedModel> candidates;
  auto add = [&](bool fused, ops::Graph g) -> absl::Status {
    ASSIGN_OR_RETURN(SbpAssignment assignment,
                     AssignSbp(g, cluster, options.pins, ops::FindOp, rules));
    log->Time(fused ? "05_assign_sbp, fused" : "05_assign_sbp, not fused");
    candidates.push_back({fused, /*logits_again=*/false, rules, std::move(g),
                          std::move(assignment)});
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
  if (options.recomputing == Recomputing::kAll && !candidates.empty()) {
    // The smaller one is meant, whatever is faster.
    ASSIGN_OR_RETURN(std::optional<PlacedModel> smaller,
                     WithLogitsMadeAgain(candidates[0], cluster, options));
    if (smaller.has_value()) {
      candidates[0] = *std::move(smaller);
      return candidates;
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
    // Without stored logits the rest may fit as it is.
    const size_t num_models = too_big.size();
    for (size_t m = 0; m < num_models; ++m) {
      ASSIGN_OR_RETURN(std::optional<PlacedModel> smaller,
                       WithLogitsMadeAgain(too_big[m].model, cluster, options));
      if (!smaller.has_value()) continue;
      PassLog quiet("");
      ASSIGN_OR_RETURN(Tried tried,
                       Try(*std::move(smaller), cluster, options, &quiet));
      if (tried.fits.ok()) {
        best = std::move(tried);
      } else {
        too_big.push_back(std::move(tried));
      }
    }
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
