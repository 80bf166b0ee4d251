#include "placement/fit_into_memory.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "glog/logging.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/memory_check.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/fuse.h"
#include "placement/plan_placed.h"

namespace facet::placement {
namespace {

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

}  // namespace

SbpRules FirstRules(const CompileOptions& options) {
  return {options.splitting == Splitting::kAll ? Parameters::kSplit
                                               : Parameters::kFastest,
          options.recomputing == Recomputing::kAll ? Keeping::kLeast
                                                   : Keeping::kAll};
}

absl::StatusOr<Tried> Try(PlacedModel model, const Cluster& cluster,
                          const CompileOptions& options, PassLog* log) {
  Tried tried;
  ASSIGN_OR_RETURN(tried.plan, PlanPlaced(model, cluster, options, log));
  tried.model = std::move(model);
  tried.bytes_over = BytesOver(tried.plan, cluster);
  tried.fits = CheckMemory(tried.plan, cluster);
  return tried;
}

bool IsBetter(const Tried& a, const Tried& b) {
  if (a.fits.ok() != b.fits.ok()) return a.fits.ok();
  return a.fits.ok() ? a.model.assignment.seconds < b.model.assignment.seconds
                     : a.bytes_over < b.bytes_over;
}

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
      ASSIGN_OR_RETURN(Tried next,
                       Try({first.model.fused, first.model.logits_again, rules,
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

absl::StatusOr<std::optional<PlacedModel>> WithLogitsMadeAgain(
    const PlacedModel& model, const Cluster& cluster,
    const CompileOptions& options) {
  if (!model.fused || model.logits_again ||
      options.recomputing == Recomputing::kNone) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(
      ops::Graph graph,
      Fuse(model.graph, ops::AllOps(), FuseRules::kSavingMemory, ops::FindOp));
  if (SameOps(graph, model.graph)) return std::nullopt;
  absl::StatusOr<SbpAssignment> assignment =
      AssignSbp(graph, cluster, options.pins, ops::FindOp, model.rules);
  if (!assignment.ok()) {
    // A pin names a tensor that is gone, or an SBP that only stored logits
    // allow.
    VLOG(1) << "logits are not made again: " << assignment.status();
    return std::nullopt;
  }
  return PlacedModel{/*fused=*/true, /*logits_again=*/true, model.rules,
                     std::move(graph), *std::move(assignment)};
}

}  // namespace facet::placement
