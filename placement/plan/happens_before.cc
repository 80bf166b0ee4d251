#include "placement/plan/happens_before.h"

#include <algorithm>

#include "glog/logging.h"

namespace facet::placement {
namespace {

struct Incoming {
  int from = 0;
  int steps = 0;
};

}  // namespace

HappensBefore::HappensBefore(const std::vector<TaskPlace>& places,
                             const std::vector<FiringEdge>& edges,
                             const std::vector<int>& order,
                             const std::vector<Ordering>& required)
    : places_(places), position_(places.size(), 0) {
  const int num_tasks = static_cast<int>(places.size());
  for (int t = 0; t < num_tasks; ++t) {
    if (places[t].stream < 0) continue;
    CHECK_LT(places[t].stream, kMaxStreams);
    const size_t lane = places[t].device * kMaxStreams + places[t].stream;
    if (lane >= lanes_.size()) lanes_.resize(lane + 1);
    position_[t] = static_cast<int>(lanes_[lane].size());
    lanes_[lane].push_back(t);
  }
  std::vector<std::vector<Incoming>> incoming(num_tasks);
  for (const FiringEdge& edge : edges) {
    if (edge.tokens <= 1) incoming[edge.to].push_back({edge.from, edge.tokens});
  }
  std::vector<std::vector<Ordering>> wanted(num_tasks);
  for (const Ordering& ordering : required) {
    CHECK_EQ(places[ordering.before].device, places[ordering.after].device);
    wanted[ordering.after].push_back(ordering);
  }

  // Adds to `clock` of `task` what it lacks of the wanted orderings of this
  // distance, the latest of each stream.
  auto establish = [&](int task, int steps, const std::vector<Clock>& known,
                       Clock* clock) {
    Clock need;
    need.fill(kNever);
    for (const Ordering& ordering : wanted[task]) {
      if (ordering.steps != steps) continue;
      int& latest = need[places[ordering.before].stream];
      latest = std::max(latest, position_[ordering.before]);
    }
    const int device = places[task].device;
    for (int s = 0; s < kMaxStreams; ++s) {
      if (need[s] == kNever) continue;
      if ((*clock)[s] >= need[s] - steps * LaneSize(device, s)) continue;
      const int before = lanes_[device * kMaxStreams + s][need[s]];
      added_.push_back({before, task, steps});
      incoming[task].push_back({before, steps});
      Join(before, known[before], steps, clock);
    }
  };

  // First what paths without a token say, then those with one: their part
  // before the token is a path of the first kind.
  Clock never;
  never.fill(kNever);
  std::vector<Clock> same_step(num_tasks, never);
  for (int t : order) {
    for (const Incoming& in : incoming[t]) {
      if (in.steps == 0) Join(in.from, same_step[in.from], 0, &same_step[t]);
    }
    establish(t, 0, same_step, &same_step[t]);
  }
  clocks_ = same_step;
  for (int t : order) {
    for (const Incoming& in : incoming[t]) {
      Join(in.from, in.steps == 0 ? clocks_[in.from] : same_step[in.from],
           in.steps, &clocks_[t]);
    }
    establish(t, 1, same_step, &clocks_[t]);
  }
}

int HappensBefore::LaneSize(int device, int stream) const {
  const size_t lane = device * kMaxStreams + stream;
  return lane < lanes_.size() ? static_cast<int>(lanes_[lane].size()) : 0;
}

void HappensBefore::Join(int task, const Clock& known, int steps,
                         Clock* clock) const {
  const int device = places_[task].device;
  for (int s = 0; s < kMaxStreams; ++s) {
    int latest = known[s];
    if (s == places_[task].stream) latest = std::max(latest, position_[task]);
    if (latest == kNever) continue;
    (*clock)[s] = std::max((*clock)[s], latest - steps * LaneSize(device, s));
  }
}

bool HappensBefore::Implies(const Ordering& ordering) const {
  const TaskPlace& before = places_[ordering.before];
  const TaskPlace& after = places_[ordering.after];
  if (before.device != after.device) return false;
  return clocks_[ordering.after][before.stream] >=
         position_[ordering.before] -
             ordering.steps * LaneSize(before.device, before.stream);
}

}  // namespace facet::placement
