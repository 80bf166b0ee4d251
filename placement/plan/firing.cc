#include "placement/plan/firing.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "glog/logging.h"

namespace facet::placement {
namespace {

// Where a step task stands: its (device, stream) and its position there.
struct Station {
  int lane = -1;  // -1: a once task.
  int position = 0;
};

struct Lanes {
  std::vector<Station> station;         // By task.
  std::vector<std::vector<int>> tasks;  // By lane, in plan order.
};

Lanes FindLanes(const Plan& plan) {
  Lanes lanes;
  lanes.station.resize(plan.tasks_size());
  std::map<std::pair<int, std::string>, int> ids;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once()) continue;
    auto [it, is_new] = ids.emplace(
        std::make_pair(task.device(), task.stream()), lanes.tasks.size());
    if (is_new) lanes.tasks.emplace_back();
    lanes.station[t] = {it->second,
                        static_cast<int>(lanes.tasks[it->second].size())};
    lanes.tasks[it->second].push_back(t);
  }
  return lanes;
}

void AppendRegisterEdges(const Plan& plan, std::vector<FiringEdge>* edges) {
  std::vector<int> producer(plan.registers_size(), -1);
  std::vector<std::vector<int>> readers(plan.registers_size());
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once()) continue;
    for (int r : task.outputs()) producer[r] = t;
    for (int r : task.inputs()) {
      if (readers[r].empty() || readers[r].back() != t) readers[r].push_back(t);
    }
  }
  for (int r = 0; r < plan.registers_size(); ++r) {
    if (producer[r] < 0) continue;  // A variable: waits order its uses.
    for (int reader : readers[r]) {
      edges->push_back({producer[r], reader, 0, FiringEdge::Kind::kData, r});
      edges->push_back({reader, producer[r], plan.registers(r).credits(),
                        FiringEdge::Kind::kCredit, r});
    }
  }
}

// An edge u -> v with w tokens says: v's n-th firing comes after u's
// (n - w)-th. A path from u to v whose tokens add up to w or less says the
// same or more, so the edge can go. The paths looked at: the stream ring alone,
// and stream - one other edge - stream without the ring's token.
std::vector<FiringEdge> WithoutImplied(const std::vector<FiringEdge>& edges,
                                       const Lanes& lanes) {
  std::map<std::pair<int, int>, std::vector<int>> between;  // By lane pair.
  std::vector<bool> keep(edges.size(), false);
  for (size_t e = 0; e < edges.size(); ++e) {
    const Station from = lanes.station[edges[e].from];
    const Station to = lanes.station[edges[e].to];
    if (from.lane == to.lane) {
      // Against the order and without a token: never fires. It stays, for
      // the validator to find.
      keep[e] = edges[e].tokens == 0 && from.position >= to.position;
    } else {
      between[{from.lane, to.lane}].push_back(static_cast<int>(e));
    }
  }
  for (auto& [pair, list] : between) {
    auto from = [&](int e) { return lanes.station[edges[e].from].position; };
    auto to = [&](int e) { return lanes.station[edges[e].to].position; };
    std::stable_sort(list.begin(), list.end(), [&](int a, int b) {
      if (edges[a].tokens != edges[b].tokens) {
        return edges[a].tokens < edges[b].tokens;
      }
      if (to(a) != to(b)) return to(a) < to(b);
      return from(a) > from(b);
    });
    // Of the edges kept so far: position of `to` -> the latest `from` that any
    // edge to there or earlier has. Both increase.
    std::map<int, int> latest;
    for (int e : list) {
      auto after = latest.upper_bound(to(e));
      if (after != latest.begin() && std::prev(after)->second >= from(e)) {
        continue;
      }
      keep[e] = true;
      while (after != latest.end() && after->second <= from(e)) {
        after = latest.erase(after);
      }
      latest[to(e)] = from(e);
    }
  }
  std::vector<FiringEdge> kept;
  for (size_t e = 0; e < edges.size(); ++e) {
    if (keep[e]) kept.push_back(edges[e]);
  }
  return kept;
}

}  // namespace

std::vector<FiringEdge> FiringEdges(const Plan& plan) {
  const Lanes lanes = FindLanes(plan);
  std::vector<FiringEdge> edges;
  AppendRegisterEdges(plan, &edges);
  for (int t = 0; t < plan.tasks_size(); ++t) {
    for (const Wait& wait : plan.tasks(t).waits()) {
      edges.push_back({wait.task(), t, wait.steps(), FiringEdge::Kind::kWait});
    }
  }
  edges = WithoutImplied(edges, lanes);
  for (const std::vector<int>& tasks : lanes.tasks) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      const bool last = i + 1 == tasks.size();
      edges.push_back({tasks[i], last ? tasks[0] : tasks[i + 1], last ? 1 : 0,
                       FiringEdge::Kind::kStream});
    }
  }
  return edges;
}

FiringState::FiringState(const std::vector<FiringEdge>& edges, int num_tasks)
    : missing_(num_tasks, 0), in_(num_tasks), out_(num_tasks) {
  for (size_t e = 0; e < edges.size(); ++e) {
    const FiringEdge& edge = edges[e];
    to_.push_back(edge.to);
    tokens_.push_back(edge.tokens);
    if (edge.tokens == 0) ++missing_[edge.to];
    in_[edge.to].push_back(static_cast<int>(e));
    out_[edge.from].push_back(static_cast<int>(e));
  }
}

void FiringState::Begin(int task) {
  CHECK_EQ(missing_[task], 0) << "task " << task << " cannot fire";
  for (int e : in_[task]) {
    if (--tokens_[e] == 0) ++missing_[task];
  }
}

void FiringState::Arrive(int edge) {
  if (tokens_[edge]++ == 0) --missing_[to_[edge]];
}

}  // namespace facet::placement
