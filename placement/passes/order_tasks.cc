#include "placement/passes/order_tasks.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "placement/passes/task_units.h"

namespace facet::placement {
namespace {

// Memory of the first device, as tasks of a given order come and go.
class LiveMemory {
 public:
  LiveMemory(const TaskGraph& graph, const std::vector<TaskUnit>& units)
      : graph_(graph),
        units_(units),
        readers_(graph.registers.size()),
        ran_(units.size(), false) {
    for (size_t u = 0; u < units.size(); ++u) {
      for (int r : Inputs(static_cast<int>(u))) {
        readers_[r].push_back(static_cast<int>(u));
      }
    }
    remaining_.resize(readers_.size());
    for (size_t r = 0; r < readers_.size(); ++r) {
      remaining_[r] = static_cast<int>(readers_[r].size());
    }
  }

  // What is allocated less what is freed if the unit runs now.
  int64_t Growth(int unit) const {
    int64_t growth = 0;
    for (int r : Outputs(unit)) {
      if (!readers_[r].empty()) growth += Bytes(r);
    }
    for (int r : Inputs(unit)) {
      if (remaining_[r] == 1) growth -= Bytes(r);
    }
    return growth;
  }

  // Runs it; returns the units whose Growth this changes.
  std::vector<int> Run(int unit) {
    int64_t during = live_;
    const LocalTask* task =
        units_[unit].first < 0 ? nullptr : &graph_.tasks[units_[unit].first];
    if (task != nullptr) during += task->workspace_bytes;
    for (int r : Outputs(unit)) {
      during += Bytes(r);
      for (const ops::InPlacePair& pair : task->in_place) {
        if (task->outputs[pair.output] != r) continue;
        if (pair.input >= static_cast<int>(task->inputs.size())) continue;
        const int input = task->inputs[pair.input];
        if (remaining_[input] == 1 && Bytes(input) == Bytes(r)) {
          during -= Bytes(r);
          break;
        }
      }
    }
    peak_ = std::max(peak_, during);
    live_ += Growth(unit);
    std::vector<int> changed;
    for (int r : Inputs(unit)) {
      if (--remaining_[r] != 1 || Bytes(r) == 0) continue;
      // Who is the one left? Not this unit, and not one that ran.
      for (int reader : readers_[r]) {
        if (reader != unit && !ran_[reader]) changed.push_back(reader);
      }
    }
    ran_[unit] = true;
    return changed;
  }

  int64_t peak() const { return peak_; }

 private:
  // Of the first device's task, each register once.
  std::vector<int> Inputs(int unit) const {
    if (units_[unit].first < 0) return {};
    std::vector<int> inputs = graph_.tasks[units_[unit].first].inputs;
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    return inputs;
  }
  const std::vector<int>& Outputs(int unit) const {
    static const std::vector<int>* const kNone = new std::vector<int>;
    return units_[unit].first < 0 ? *kNone
                                  : graph_.tasks[units_[unit].first].outputs;
  }
  // Only what comes and goes counts.
  int64_t Bytes(int r) const {
    const LocalRegister& reg = graph_.registers[r];
    return reg.persistent || reg.credits > 1 ? 0 : reg.slice.size_bytes();
  }

  const TaskGraph& graph_;
  const std::vector<TaskUnit>& units_;
  std::vector<std::vector<int>> readers_;  // By register: units.
  std::vector<int> remaining_;             // By register: readers to come.
  std::vector<bool> ran_;                  // By unit.
  int64_t live_ = 0;
  int64_t peak_ = 0;
};

// List scheduling on a virtual clock. The clock is there for one thing: what
// needs the result of a collective waits until the collective can be done,
// while there is other work, so that the two overlap.
class Scheduler {
 public:
  Scheduler(const TaskGraph& graph, const std::vector<TaskUnit>& units,
            bool save_memory)
      : graph_(graph),
        units_(units),
        save_memory_(save_memory),
        memory_(graph, units),
        missing_(units.size()),
        ready_seconds_(units.size(), 0),
        queue_(units.size(), kNoQueue) {
    // Work whose results only collectives read, and the collectives.
    urgent_.resize(units.size());
    for (size_t u = 0; u < units.size(); ++u) {
      const TaskUnit& unit = units[u];
      urgent_[u] = unit.stream != ops::StreamKind::kCompute;
      if (urgent_[u] || unit.next.empty()) continue;
      urgent_[u] = std::all_of(unit.next.begin(), unit.next.end(), [&](int n) {
        return units[n].stream == ops::StreamKind::kCommunication;
      });
    }
  }

  absl::StatusOr<std::vector<int>> Run();
  int64_t peak() const { return memory_.peak(); }

 private:
  enum Queue { kUrgent, kFreeing, kOther, kNumQueues, kNoQueue };

  void BecomesReady(int unit);
  void Enqueue(int unit);
  int Take();
  void Finish(int unit);

  double& clock(ops::StreamKind stream) {
    return clocks_[static_cast<int>(stream)];
  }

  const TaskGraph& graph_;
  const std::vector<TaskUnit>& units_;
  const bool save_memory_;
  LiveMemory memory_;
  std::vector<int> missing_;                // By unit: predecessors to come.
  std::vector<double> ready_seconds_;       // By unit.
  std::vector<Queue> queue_;                // By unit: where it is ready.
  std::vector<bool> urgent_;                // By unit.
  std::set<int> ready_[kNumQueues];         // In the order of the graph.
  std::set<std::pair<double, int>> later_;  // Waits for a result.
  std::array<double, 4> clocks_ = {};
};

void Scheduler::Enqueue(int unit) {
  Queue queue = kOther;
  if (urgent_[unit]) {
    queue = kUrgent;
  } else if (save_memory_ && memory_.Growth(unit) < 0) {
    queue = kFreeing;
  }
  queue_[unit] = queue;
  ready_[queue].insert(unit);
}

void Scheduler::BecomesReady(int unit) {
  if (units_[unit].stream == ops::StreamKind::kCompute &&
      ready_seconds_[unit] > clock(ops::StreamKind::kCompute)) {
    later_.insert({ready_seconds_[unit], unit});
  } else {
    Enqueue(unit);
  }
}

int Scheduler::Take() {
  double& now = clock(ops::StreamKind::kCompute);
  const bool idle = ready_[kUrgent].empty() && ready_[kFreeing].empty() &&
                    ready_[kOther].empty();
  if (idle && !later_.empty()) now = std::max(now, later_.begin()->first);
  while (!later_.empty() && later_.begin()->first <= now) {
    const int unit = later_.begin()->second;
    later_.erase(later_.begin());
    Enqueue(unit);
  }
  for (std::set<int>& queue : ready_) {
    if (queue.empty()) continue;
    const int unit = *queue.begin();
    queue.erase(queue.begin());
    queue_[unit] = kNoQueue;
    return unit;
  }
  return -1;
}

void Scheduler::Finish(int unit) {
  const TaskUnit& u = units_[unit];
  double& now = clock(u.stream);
  now = std::max(now, ready_seconds_[unit]) + u.seconds;
  // Input was read ahead, while the step before was computed.
  const double done = u.stream == ops::StreamKind::kData ? 0 : now;
  for (int changed : memory_.Run(unit)) {
    if (queue_[changed] == kNoQueue) continue;
    ready_[queue_[changed]].erase(changed);
    Enqueue(changed);
  }
  for (int n : u.next) {
    ready_seconds_[n] = std::max(ready_seconds_[n], done);
    if (--missing_[n] == 0) BecomesReady(n);
  }
}

absl::StatusOr<std::vector<int>> Scheduler::Run() {
  std::vector<int> order;
  for (size_t u = 0; u < units_.size(); ++u) {
    missing_[u] = units_[u].num_previous;
  }
  auto run_once = [&](int u) {
    order.push_back(u);
    memory_.Run(u);
    for (int n : units_[u].next) --missing_[n];
  };
  for (size_t u = 0; u < units_.size(); ++u) {
    if (units_[u].once) run_once(static_cast<int>(u));
  }
  for (size_t u = 0; u < units_.size(); ++u) {
    if (!units_[u].once && missing_[u] == 0) BecomesReady(static_cast<int>(u));
  }
  for (int unit = Take(); unit >= 0; unit = Take()) {
    order.push_back(unit);
    Finish(unit);
  }
  if (order.size() != units_.size()) {
    for (size_t u = 0; u < units_.size(); ++u) {
      if (missing_[u] > 0) {
        return absl::InternalError(
            absl::StrCat("order_tasks: ", graph_.tasks[units_[u].tasks[0]].name,
                         " waits for itself (", units_.size() - order.size(),
                         " tasks in or behind a cycle)"));
      }
    }
  }
  return order;
}

// What is made a second time, to save memory, could be at any time. It waits
// for the work that comes just before its first reader, or, as a collective, so
// long before that it is there in time.
void HoldBackWhatIsMadeAgain(const TaskGraph& graph,
                             std::vector<TaskUnit>* units) {
  auto is_again = [&](const TaskUnit& unit) {
    return graph.tasks[unit.tasks[0]].origin.again;
  };
  for (size_t u = 0; u < units->size(); ++u) {
    TaskUnit& unit = (*units)[u];
    if (unit.next.empty() || !is_again(unit)) continue;
    const double lead =
        unit.stream == ops::StreamKind::kCommunication ? 2 * unit.seconds : 0;
    std::vector<bool> after(units->size(), false);
    MarkAfter(*units, static_cast<int>(u), &after);
    double seconds = 0;
    for (int before = unit.next[0]; before-- > 0;) {
      TaskUnit& other = (*units)[before];
      if (other.once || other.stream != ops::StreamKind::kCompute ||
          after[before] || before == static_cast<int>(u) || is_again(other)) {
        continue;
      }
      seconds += other.seconds;
      if (seconds < lead) continue;
      other.next.push_back(static_cast<int>(u));
      ++unit.num_previous;
      break;
    }
  }
}

}  // namespace

absl::StatusOr<TaskGraph> OrderTasks(TaskGraph tasks) {
  std::vector<TaskUnit> units = FindTaskUnits(tasks);
  HoldBackWhatIsMadeAgain(tasks, &units);
  // Freeing early is a guess: it may start a branch whose result then waits.
  // The order of the graph is the other candidate.
  Scheduler saving(tasks, units, /*save_memory=*/true);
  absl::StatusOr<std::vector<int>> best = saving.Run();
  if (!best.ok()) return best.status();
  Scheduler plain(tasks, units, /*save_memory=*/false);
  absl::StatusOr<std::vector<int>> other = plain.Run();
  if (!other.ok()) return other.status();
  if (plain.peak() < saving.peak()) best = std::move(other);

  std::vector<LocalTask> ordered;
  ordered.reserve(tasks.tasks.size());
  for (int unit : *best) {
    for (int t : units[unit].tasks) {
      ordered.push_back(std::move(tasks.tasks[t]));
    }
  }
  tasks.tasks = std::move(ordered);
  return tasks;
}

}  // namespace facet::placement
