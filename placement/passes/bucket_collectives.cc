#include "placement/passes/bucket_collectives.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::placement {
namespace {

// What the members of a bucket have in common: per device its group, and what
// the reports tell apart.
struct BucketKey {
  std::vector<std::pair<int, int>> groups;  // Device, group.
  ReduceKind reduce = ReduceKind::kNone;
  std::string part;
  int every = 1;

  friend bool operator==(const BucketKey& a, const BucketKey& b) {
    return std::tie(a.groups, a.reduce, a.part, a.every) ==
           std::tie(b.groups, b.reduce, b.part, b.every);
  }
};

// Of a unit that may be joined with others; false: it may not.
bool FindKey(const TaskGraph& graph, const TaskUnit& unit, BucketKey* key) {
  key->groups.clear();
  for (int t : unit.tasks) {
    const LocalTask& task = graph.tasks[t];
    // What a gradient needs on its way (statistics, the loss) must not wait.
    if (task.collective.kind != CollectiveKind::kAllReduce ||
        task.origin.phase != ops::Phase::kOptimizer) {
      return false;
    }
    key->groups.push_back({task.device, task.collective.group});
    key->reduce = task.collective.reduce;
    key->part = task.origin.part;
    key->every = task.origin.every;
  }
  std::sort(key->groups.begin(), key->groups.end());
  return true;
}

int64_t BytesOf(const TaskGraph& graph, const TaskUnit& unit) {
  int64_t bytes = 0;
  for (int t : unit.tasks) {
    bytes = std::max(bytes, graph.tasks[t].collective.bytes);
  }
  return bytes;
}

double LatencyOf(const TaskGraph& graph, const TaskUnit& unit) {
  double latency = 0;
  for (int t : unit.tasks) {
    latency = std::max(latency, graph.tasks[t].collective.latency_seconds);
  }
  return latency;
}

// Of the joined collective: the latency once, the bytes of all.
double BucketSeconds(const std::vector<double>& seconds,
                     const std::vector<double>& latencies) {
  double sum = *std::max_element(latencies.begin(), latencies.end());
  for (size_t i = 0; i < seconds.size(); ++i) sum += seconds[i] - latencies[i];
  return sum;
}

// The units with each bucket as one of them.
std::vector<TaskUnit> Join(const TaskGraph& graph,
                           const std::vector<TaskUnit>& units,
                           const std::vector<std::vector<int>>& buckets) {
  std::vector<int> joined(units.size());
  for (size_t u = 0; u < units.size(); ++u) joined[u] = static_cast<int>(u);
  for (const std::vector<int>& bucket : buckets) {
    for (int u : bucket) joined[u] = bucket.front();
  }
  std::vector<TaskUnit> result(units.size());
  for (size_t u = 0; u < units.size(); ++u) {
    TaskUnit& unit = result[joined[u]];
    unit.once = units[u].once;
    unit.stream = units[u].stream;
    unit.seconds = units[u].seconds;
    for (int n : units[u].next) unit.next.push_back(joined[n]);
  }
  for (const std::vector<int>& bucket : buckets) {
    std::vector<double> seconds, latencies;
    for (int u : bucket) {
      seconds.push_back(units[u].seconds);
      latencies.push_back(LatencyOf(graph, units[u]));
    }
    result[bucket.front()].seconds = BucketSeconds(seconds, latencies);
  }
  for (TaskUnit& unit : result) {
    std::sort(unit.next.begin(), unit.next.end());
    unit.next.erase(std::unique(unit.next.begin(), unit.next.end()),
                    unit.next.end());
    for (int n : unit.next) ++result[n].num_previous;
  }
  // Those that went into a bucket have become nothing: no time, no neighbours.
  return result;
}

// The tasks of one device of a bucket, as one.
LocalTask JoinTasks(const std::vector<const LocalTask*>& members,
                    const std::string& name) {
  LocalTask task = *members.front();
  task.name = name;
  task.origin.layer = "gradients";
  task.inputs.clear();
  task.outputs.clear();
  task.in_place.clear();
  task.collective.bytes = 0;
  task.collective.latency_seconds = 0;
  std::vector<double> seconds, latencies;
  for (const LocalTask* member : members) {
    const int offset = static_cast<int>(task.inputs.size());
    for (ops::InPlacePair pair : member->in_place) {
      task.in_place.push_back({pair.input + offset, pair.output + offset});
    }
    task.inputs.insert(task.inputs.end(), member->inputs.begin(),
                       member->inputs.end());
    task.outputs.insert(task.outputs.end(), member->outputs.begin(),
                        member->outputs.end());
    task.collective.bytes += member->collective.bytes;
    seconds.push_back(member->predicted_seconds);
    latencies.push_back(member->collective.latency_seconds);
    task.collective.latency_seconds =
        std::max(task.collective.latency_seconds, latencies.back());
  }
  task.predicted_seconds = BucketSeconds(seconds, latencies);
  return task;
}

}  // namespace

std::vector<std::vector<int>> FindBuckets(const TaskGraph& graph,
                                          const std::vector<TaskUnit>& units,
                                          int64_t limit_bytes) {
  std::vector<std::vector<int>> buckets;
  std::vector<int> open;
  std::vector<bool> after_open;  // By unit: waits for one in the bucket.
  BucketKey open_key, key;
  int64_t open_bytes = 0;
  auto close = [&] {
    if (open.size() > 1) buckets.push_back(open);
    open.clear();
    after_open.assign(units.size(), false);
    open_bytes = 0;
  };
  close();
  for (size_t u = 0; u < units.size(); ++u) {
    if (!FindKey(graph, units[u], &key)) continue;
    const int64_t bytes = BytesOf(graph, units[u]);
    if (!open.empty() && (!(key == open_key) || after_open[u] ||
                          open_bytes + bytes > limit_bytes)) {
      close();
    }
    open.push_back(static_cast<int>(u));
    open_key = key;
    open_bytes += bytes;
    MarkAfter(units, static_cast<int>(u), &after_open);
  }
  close();
  return buckets;
}

double ScheduledSeconds(const TaskGraph& graph,
                        const std::vector<TaskUnit>& units,
                        const std::vector<std::vector<int>>& buckets) {
  const std::vector<TaskUnit> joined = Join(graph, units, buckets);
  constexpr int kStreams = 4;
  std::array<double, kStreams> clocks = {};
  std::array<std::set<int>, kStreams> now;  // In the order of the graph.
  std::array<std::set<std::pair<double, int>>, kStreams> later;
  std::vector<double> ready(joined.size(), 0);
  std::vector<int> missing(joined.size());
  auto enqueue = [&](int u) {
    const int stream = static_cast<int>(joined[u].stream);
    if (ready[u] > clocks[stream]) {
      later[stream].insert({ready[u], u});
    } else {
      now[stream].insert(u);
    }
  };
  for (size_t u = 0; u < joined.size(); ++u) {
    missing[u] = joined[u].num_previous;
    if (missing[u] == 0) enqueue(static_cast<int>(u));
  }
  while (true) {
    int next_stream = -1;
    double next_start = std::numeric_limits<double>::infinity();
    for (int s = 0; s < kStreams; ++s) {
      if (now[s].empty() && later[s].empty()) continue;
      const double start = now[s].empty()
                               ? std::max(later[s].begin()->first, clocks[s])
                               : clocks[s];
      if (start < next_start) {
        next_start = start;
        next_stream = s;
      }
    }
    if (next_stream < 0) break;
    double& clock = clocks[next_stream];
    clock = next_start;
    auto& waiting = later[next_stream];
    while (!waiting.empty() && waiting.begin()->first <= clock) {
      now[next_stream].insert(waiting.begin()->second);
      waiting.erase(waiting.begin());
    }
    const int u = *now[next_stream].begin();
    now[next_stream].erase(now[next_stream].begin());
    const bool counts =
        !joined[u].once && joined[u].stream != ops::StreamKind::kData;
    // Input was read ahead, while the step before was computed.
    if (counts) clock += joined[u].seconds;
    for (int n : joined[u].next) {
      if (counts) ready[n] = std::max(ready[n], clock);
      if (--missing[n] == 0) enqueue(n);
    }
  }
  return *std::max_element(clocks.begin(), clocks.end());
}

TaskGraph BucketCollectives(TaskGraph ordered) {
  const std::vector<TaskUnit> units = FindTaskUnits(ordered);
  std::vector<std::vector<int>> best;
  // A gain below this is noise in the model, and a bucket holds memory longer.
  double best_seconds = ScheduledSeconds(ordered, units, best) * (1 - 1e-4);
  constexpr int64_t kSmallest = int64_t{1} << 16;
  constexpr int64_t kLargest = int64_t{1} << 40;
  std::vector<std::vector<int>> before;
  for (int64_t limit = kSmallest; limit <= kLargest; limit *= 4) {
    std::vector<std::vector<int>> buckets = FindBuckets(ordered, units, limit);
    if (buckets == before) continue;  // As the limit before gave.
    const double seconds = ScheduledSeconds(ordered, units, buckets);
    if (seconds < best_seconds) {
      best_seconds = seconds;
      best = buckets;
    }
    before = std::move(buckets);
  }
  if (best.empty()) return ordered;
  return JoinUnits(
      std::move(ordered), units, best,
      [](const std::vector<const LocalTask*>& members, size_t bucket) {
        return JoinTasks(members,
                         absl::StrCat("gradients", bucket, "/all-reduce"));
      });
}

}  // namespace facet::placement
