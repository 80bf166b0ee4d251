#include <algorithm>
#include <utility>
#include <vector>

#include "placement/plan/stated_devices.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {
namespace {

// Registers that hold a value all the time: no firing brings them to life.
bool IsAlwaysAlive(const Register& reg) {
  return reg.persistent() || reg.credits() > 1;
}

// [begin, end) of a device's arena from one moment to another.
struct Life {
  int64_t begin = 0, end = 0;
  double from = 0, to = 0;
};

// Bytes of the union of ranges.
int64_t UnionBytes(std::vector<std::pair<int64_t, int64_t>> ranges) {
  std::sort(ranges.begin(), ranges.end());
  int64_t bytes = 0, until = 0;
  for (const auto& [begin, end] : ranges) {
    bytes += std::max<int64_t>(0, end - std::max(begin, until));
    until = std::max(until, end);
  }
  return bytes;
}

// The lives of what is not always alive, by device.
std::vector<std::vector<Life>> FindLives(const Plan& plan,
                                         const std::vector<Firing>& firings) {
  int64_t steps = 0;
  for (const Firing& f : firings) steps = std::max(steps, f.step + 1);
  // By step, register.
  std::vector<std::vector<std::pair<double, double>>> lives(
      steps,
      std::vector<std::pair<double, double>>(plan.registers_size(), {0, -1}));
  std::vector<std::vector<Life>> result(plan.devices_size());
  for (const Firing& f : firings) {
    const Task& task = plan.tasks(f.task);
    for (int r : task.outputs()) {
      lives[f.step][r].first = f.ready;
      lives[f.step][r].second = std::max(lives[f.step][r].second, f.end);
    }
    for (int r : task.inputs()) {
      lives[f.step][r].second = std::max(lives[f.step][r].second, f.end);
    }
    if (task.workspace_bytes() > 0) {
      result[task.device()].push_back(
          {task.workspace_offset(),
           task.workspace_offset() + task.workspace_bytes(), f.ready, f.end});
    }
  }
  for (int64_t s = 0; s < steps; ++s) {
    for (int r = 0; r < plan.registers_size(); ++r) {
      const Register& reg = plan.registers(r);
      const auto& [from, to] = lives[s][r];
      if (IsAlwaysAlive(reg) || reg.size_bytes() == 0 || to < from) continue;
      result[reg.device()].push_back({reg.arena_offset(),
                                      reg.arena_offset() + reg.size_bytes(),
                                      from, to});
    }
  }
  return result;
}

}  // namespace

std::vector<int64_t> PeakBytes(const Plan& plan,
                               const std::vector<Firing>& firings) {
  std::vector<std::vector<std::pair<int64_t, int64_t>>> always(
      plan.devices_size());
  for (const Register& reg : plan.registers()) {
    if (!IsAlwaysAlive(reg)) continue;
    for (int slot = 0; slot < reg.credits(); ++slot) {
      const int64_t begin = reg.arena_offset() + slot * reg.slot_stride_bytes();
      always[reg.device()].emplace_back(begin, begin + reg.size_bytes());
    }
  }
  const std::vector<std::vector<Life>> lives = FindLives(plan, firings);
  std::vector<int64_t> peaks(plan.devices_size(), 0);
  for (int d = 0; d < plan.devices_size(); ++d) {
    const int64_t base = UnionBytes(std::move(always[d]));
    // Only where something begins can there be more than before.
    std::vector<Life> by_start = lives[d];
    std::sort(by_start.begin(), by_start.end(),
              [](const Life& a, const Life& b) { return a.from < b.from; });
    std::vector<Life> alive;
    peaks[d] = base;
    for (size_t i = 0; i < by_start.size();) {
      const double now = by_start[i].from;
      for (; i < by_start.size() && by_start[i].from == now; ++i) {
        alive.push_back(by_start[i]);
      }
      // What ends now has made room.
      alive.erase(std::remove_if(alive.begin(), alive.end(),
                                 [&](const Life& l) { return l.to <= now; }),
                  alive.end());
      std::vector<std::pair<int64_t, int64_t>> ranges;
      for (const Life& life : alive) ranges.emplace_back(life.begin, life.end);
      peaks[d] = std::max(peaks[d], base + UnionBytes(std::move(ranges)));
    }
  }
  for (int d = 0; d < plan.devices_size(); ++d) {
    if (!IsStated(plan.devices(d))) peaks[d] = peaks[plan.devices(d).like()];
  }
  return peaks;
}

}  // namespace facet::placement
