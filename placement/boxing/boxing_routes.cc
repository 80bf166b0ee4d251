#include "placement/boxing/boxing_routes.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/status_macros.h"
#include "placement/boxing/boxing_cost.h"
#include "placement/boxing/transition.h"

namespace facet::placement {
namespace {

using ops::Mesh;
using ops::NdSbp;
using ops::Region;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Ways that differ by less cost the same: then the one found first is taken,
// which has fewer steps.
constexpr double kBetter = 1 - 1e-9;

NdSbp With(NdSbp sbp, int axis, Sbp along_axis) {
  sbp[axis] = along_axis;
  return sbp;
}

// What the group of this device holds together.
Region GroupRegion(const Shape& shape, const NdSbp& sbp, int axis,
                   const Mesh& mesh, int device) {
  return ops::LocalRegion(shape, With(sbp, axis, Sbp::B()), mesh, device);
}

// See the rules above.
bool InnerAxesAllow(const NdSbp& sbp, int axis, Sbp along_axis) {
  for (int inner = axis + 1; inner < sbp.num_axes(); ++inner) {
    if (along_axis.is_split() && sbp[inner] == along_axis) return false;
    if (along_axis.is_partial() && sbp[inner].is_partial() &&
        sbp[inner] != along_axis) {
      return false;
    }
  }
  return true;
}

std::vector<Sbp> AllSbps(int rank) {
  std::vector<Sbp> all = {Sbp::B(), Sbp::PSum(), Sbp::PMax()};
  for (int i = 0; i < rank; ++i) all.push_back(Sbp::S(i));
  return all;
}

std::vector<NdSbp> AllStates(const Shape& shape, const Mesh& mesh) {
  std::vector<NdSbp> states = {NdSbp()};
  for (int a = 0; a < mesh.num_axes(); ++a) {
    std::vector<NdSbp> longer;
    for (const NdSbp& state : states) {
      for (Sbp sbp : AllSbps(shape.rank())) {
        longer.push_back(state);
        longer.back().push_back(sbp);
      }
    }
    states = std::move(longer);
  }
  states.erase(std::remove_if(states.begin(), states.end(),
                              [&](const NdSbp& state) {
                                return !ops::IsShardable(shape, state, mesh);
                              }),
               states.end());
  std::sort(states.begin(), states.end());
  return states;
}

// P(sum) along an axis where the other is P(max).
bool ChangesPartial(const NdSbp& from, const NdSbp& to) {
  for (int a = 0; a < from.num_axes(); ++a) {
    if (from[a].is_partial() && to[a].is_partial() && from[a] != to[a]) {
      return true;
    }
  }
  return false;
}

void MoveBy(const Shape& offset, Region* region) {
  for (int i = 0; i < offset.rank(); ++i) region->offset[i] += offset[i];
}

}  // namespace

int ChangedAxis(const NdSbp& from, const NdSbp& to) {
  int changed = ops::kNone;
  for (int a = 0; a < from.num_axes(); ++a) {
    if (from[a] == to[a]) continue;
    if (changed != ops::kNone) return ops::kNone;
    changed = a;
  }
  return changed;
}

bool IsBoxingStep(const Shape& shape, const NdSbp& from, const NdSbp& to,
                  const Mesh& mesh) {
  const int axis = ChangedAxis(from, to);
  return axis != ops::kNone && ops::IsShardable(shape, from, mesh) &&
         ops::IsShardable(shape, to, mesh) && !ChangesPartial(from, to) &&
         InnerAxesAllow(from, axis, from[axis]) &&
         InnerAxesAllow(to, axis, to[axis]);
}

BoxingRoutes::BoxingRoutes(const TensorType& type, const Cluster& cluster,
                           bool compute_waits)
    : type_(type),
      cluster_(cluster),
      mesh_(MeshOf(cluster)),
      compute_waits_(compute_waits),
      states_(AllStates(type.shape, mesh_)),
      steps_(states_.size()),
      arrivals_(states_.size()) {
  FindSteps();
}

void BoxingRoutes::FindSteps() {
  const std::vector<Sbp> all = AllSbps(type_.shape.rank());
  for (size_t s = 0; s < states_.size(); ++s) {
    const NdSbp& from = states_[s];
    for (int axis = 0; axis < mesh_.num_axes(); ++axis) {
      if (!InnerAxesAllow(from, axis, from[axis])) continue;
      for (Sbp sbp : all) {
        const NdSbp next = With(from, axis, sbp);
        const int to = StateOf(next);
        if (to == ops::kNone || sbp == from[axis] ||
            !InnerAxesAllow(next, axis, sbp) || ChangesPartial(from, next)) {
          continue;
        }
        steps_[s].push_back({to, StepSeconds(from, axis, sbp)});
      }
    }
  }
}

int BoxingRoutes::StateOf(const NdSbp& sbp) const {
  const auto it = std::lower_bound(states_.begin(), states_.end(), sbp);
  return it != states_.end() && *it == sbp
             ? static_cast<int>(it - states_.begin())
             : ops::kNone;
}

double BoxingRoutes::StepSeconds(const NdSbp& from, int axis, Sbp to) const {
  // Of the first device: shares do not grow with the coordinates.
  const TensorType box{type_.dtype,
                       GroupRegion(type_.shape, from, axis, mesh_, 0).shape};
  const double seconds = BoxingSeconds(box, from[axis], to, cluster_, axis);
  const MeshAxis& links = cluster_.mesh[axis];
  const CollectiveKind kind =
      StepsOf(box.shape, from[axis], to, mesh_.sizes[axis], 0).kind;
  if (compute_waits_) {
    return kind == CollectiveKind::kNone ? seconds
                                         : seconds + links.blocking_seconds;
  }
  // All-reduces travel in buckets (bucket_collectives.h) and share the latency;
  // but not of what was padded to be reduced: gathering is no more expensive.
  const double latency = 2 * (mesh_.sizes[axis] - 1) * links.latency_seconds;
  if (kind == CollectiveKind::kAllReduce) return seconds - latency;
  const bool pads = to.is_partial() && !from[axis].is_partial();
  return pads ? seconds + latency : seconds;
}

const std::vector<BoxingRoutes::Arrival>& BoxingRoutes::From(int source) {
  std::vector<Arrival>& arrivals = arrivals_[source];
  if (!arrivals.empty()) return arrivals;
  arrivals.assign(states_.size(), {kInfinity, ops::kNone});
  arrivals[source].seconds = 0;
  using Entry = std::pair<double, int>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
  std::vector<bool> done(states_.size(), false);
  queue.push({0, source});
  while (!queue.empty()) {
    const int at = queue.top().second;
    queue.pop();
    if (done[at]) continue;
    done[at] = true;
    for (const Step& step : steps_[at]) {
      Arrival& arrival = arrivals[step.to];
      // What one step does is not done by several.
      if (arrival.previous == source || step.to == source) continue;
      const double seconds = arrivals[at].seconds + step.seconds;
      if (seconds < arrival.seconds * kBetter) {
        arrival = {seconds, at};
        queue.push({seconds, step.to});
      }
    }
  }
  return arrivals;
}

double BoxingRoutes::Seconds(const NdSbp& from, const NdSbp& to) {
  const int source = StateOf(from);
  const int target = StateOf(to);
  if (source == ops::kNone || target == ops::kNone || ChangesPartial(from, to))
    return kInfinity;
  return From(source)[target].seconds;
}

std::vector<NdSbp> BoxingRoutes::Route(const NdSbp& from, const NdSbp& to) {
  const int source = StateOf(from);
  const int target = StateOf(to);
  CHECK(source != ops::kNone && target != ops::kNone)
      << from.ToString() << " -> " << to.ToString();
  const std::vector<Arrival>& arrivals = From(source);
  std::vector<NdSbp> route;
  for (int at = target; at != source; at = arrivals[at].previous) {
    CHECK_NE(at, ops::kNone) << from.ToString() << " -> " << to.ToString();
    route.push_back(states_[at]);
  }
  std::reverse(route.begin(), route.end());
  return route;
}

absl::StatusOr<std::vector<BoxingProgram>> LowerBoxingStep(
    const TensorType& type, const NdSbp& from, const NdSbp& to,
    const Mesh& mesh) {
  if (!IsBoxingStep(type.shape, from, to, mesh)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "boxing of ", type.ToString(), " from ", from.ToString(), " to ",
        to.ToString(), " on a mesh of ", mesh.ToString(), " is not one step"));
  }
  const int axis = ChangedAxis(from, to);
  std::vector<BoxingProgram> programs;
  for (const std::vector<int>& group : mesh.GroupsAlong(axis)) {
    const Region box = GroupRegion(type.shape, from, axis, mesh, group[0]);
    ASSIGN_OR_RETURN(BoxingProgram program,
                     LowerBoxing({type.dtype, box.shape}, {group, from[axis]},
                                 {group, to[axis]}));
    for (BoxingValue& value : program.values) {
      if (!value.packed) MoveBy(box.offset, &value.region);
    }
    programs.push_back(std::move(program));
  }
  return programs;
}

}  // namespace facet::placement
