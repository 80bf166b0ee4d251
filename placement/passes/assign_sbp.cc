#include "placement/passes/assign_sbp.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/passes/cheapest_within.h"
#include "placement/passes/min_marginals.h"
#include "placement/passes/sbp_problem.h"

namespace facet::placement {
namespace {

using ops::NdSbp;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// At this price a byte is worth more than anything that can be done in a step,
// and seconds still decide between equals.
constexpr double kHighestSecondsPerByte = 1e-3;

// Prices leave some of the memory unused: what takes longest to compute again
// and still has room there is held after all.
void HoldMore(double bytes, SbpAssignment* assignment) {
  std::vector<MadeAgain>& again = assignment->again;
  std::stable_sort(again.begin(), again.end(),
                   [](const MadeAgain& a, const MadeAgain& b) {
                     return a.seconds > b.seconds;
                   });
  std::erase_if(again, [&](const MadeAgain& each) {
    if (assignment->held_bytes + each.bytes > bytes) return false;
    assignment->held_bytes += each.bytes;
    assignment->seconds -= each.seconds;
    return true;
  });
}

}  // namespace

struct SbpSearch::Rep {
  SbpRules rules;
  std::unique_ptr<SbpProblem> problem;
  PairwiseSolution fastest;  // Of the problem at price 0.
  // By price: searches within several limits begin with the same ones.
  std::map<double, PairwiseSolution> solutions;
  // If the problem is less than all there was to choose from: a bound of that.
  std::optional<double> bound_of_all;

  const PairwiseSolution& SolutionAt(double price) {
    if (price == 0) return fastest;
    auto [it, is_new] = solutions.try_emplace(price);
    if (is_new) it->second = Minimize(problem->AtPrice(price));
    return it->second;
  }
  // What the problem does not count (SbpProblem::AtPrice).
  double SecondsInAnyCase(const SbpAssignment& assignment) const {
    double seconds = 0;
    for (const MadeAgain& each : assignment.again) {
      if (rules.keeping == Keeping::kLeast && !each.gathered) {
        seconds += each.seconds;
      }
    }
    return seconds;
  }
  SbpAssignment Result(const PairwiseSolution& solution, double price) const {
    SbpAssignment result = problem->Result(solution.label, price);
    if (price == 0 && rules.keeping != Keeping::kLeast) {
      result.seconds = solution.cost;  // The same, but for rounding.
    }
    return result;
  }
};

SbpSearch::SbpSearch(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
SbpSearch::SbpSearch(SbpSearch&&) noexcept = default;
SbpSearch& SbpSearch::operator=(SbpSearch&&) noexcept = default;
SbpSearch::~SbpSearch() = default;

absl::StatusOr<SbpSearch> SbpSearch::Make(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, NdSbp>& pins, ops::OpLookup lookup,
    SbpRules rules) {
  RETURN_IF_ERROR(CheckMesh(cluster));
  SbpProblem::PartSets sets;
  if (rules.parameters != Parameters::kFastest) {
    // Which parts are fastest whole.
    ASSIGN_OR_RETURN(const SbpSearch fastest,
                     Make(graph, cluster, pins, lookup,
                          {Parameters::kFastest, Keeping::kAll}));
    sets = fastest.rep_->problem->PartSetsOf(fastest.rep_->fastest.label);
  }
  auto rep = std::make_unique<Rep>();
  rep->rules = rules;
  auto make = [&](bool alike) -> absl::Status {
    rep->problem = std::make_unique<SbpProblem>(graph, cluster, pins, lookup,
                                                rules, alike, sets);
    const absl::Status made = rep->problem->Make();
    if (absl::IsUnimplemented(made)) {
      rep->bound_of_all = rep->problem->SecondsOfComputeAtLeast();
    }
    RETURN_IF_ERROR(made);
    rep->fastest = Minimize(rep->problem->AtPrice(0));
    if (rep->fastest.cost < kInfinity) return absl::OkStatus();
    if (rep->fastest.lower_bound < kInfinity) {
      rep->bound_of_all = rep->fastest.lower_bound;
      return rep->problem->TooTangled();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("no placement on ", cluster.num_devices(),
                     " devices satisfies all operators",
                     pins.empty() ? "" : " and the pins; leave some pins out"));
  };
  const absl::Status made = make(/*alike=*/false);
  if (absl::IsUnimplemented(made) && cluster.mesh.size() > 1) {
    // Far fewer to choose from: as on a row of devices. The bound stays that of
    // all.
    if (!make(/*alike=*/true).ok()) return made;
  } else {
    RETURN_IF_ERROR(made);
  }
  return SbpSearch(std::move(rep));
}

absl::StatusOr<SbpAssignment> SbpSearch::Within(double bytes) {
  const auto found = CheapestWithin(
      bytes, kHighestSecondsPerByte, [&](double price) -> PricedChoice {
        const PairwiseSolution& solution = rep_->SolutionAt(price);
        const SbpProblem::Totals totals =
            rep_->problem->TotalsOf(solution.label, price);
        return {totals.seconds, totals.held_bytes, solution.lower_bound};
      });
  if (!found.has_value()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no placement was found that holds ", bytes, " bytes or less"));
  }
  SbpAssignment result =
      rep_->Result(rep_->SolutionAt(found->price), found->price);
  if (rep_->rules.keeping != Keeping::kLeast) HoldMore(bytes, &result);
  result.lower_bound = std::min(rep_->bound_of_all.value_or(found->lower_bound),
                                found->lower_bound) +
                       rep_->SecondsInAnyCase(result);
  result.lower_bound = std::min(result.lower_bound, result.seconds);
  result.seconds_per_byte = found->bound_price;
  result.may_hold = bytes;
  return result;
}

absl::StatusOr<SbpAssignment> SbpSearch::Least() {
  const PairwiseSolution& least = rep_->SolutionAt(kHighestSecondsPerByte);
  return Within(
      rep_->problem->TotalsOf(least.label, kHighestSecondsPerByte).held_bytes);
}

absl::StatusOr<std::vector<std::vector<double>>>
SbpSearch::SecondsWithEachOption(double bytes, double seconds_per_byte) const {
  std::optional<std::vector<std::vector<double>>> seconds;
  if (!rep_->bound_of_all.has_value()) {
    seconds = MinMarginals(rep_->problem->AtPrice(seconds_per_byte));
  }
  if (!seconds.has_value()) {
    return absl::UnimplementedError(
        "the graph is too tangled to solve it for every option");
  }
  // The variables of nodes come first.
  seconds->resize(rep_->problem->num_nodes());
  double more = rep_->SecondsInAnyCase(
      rep_->Result(rep_->SolutionAt(seconds_per_byte), seconds_per_byte));
  if (seconds_per_byte > 0) more -= seconds_per_byte * bytes;
  for (std::vector<double>& of_node : *seconds) {
    for (double& each : of_node) each += more;
  }
  return *std::move(seconds);
}

absl::StatusOr<SbpAssignment> AssignSbp(
    const ops::Graph& graph, const Cluster& cluster,
    const std::map<std::string, ops::NdSbp>& pins, ops::OpLookup lookup,
    SbpRules rules) {
  ASSIGN_OR_RETURN(SbpSearch search,
                   SbpSearch::Make(graph, cluster, pins, lookup, rules));
  return search.Within(kInfinity);
}

}  // namespace facet::placement
