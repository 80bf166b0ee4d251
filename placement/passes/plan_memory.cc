#include "placement/passes/plan_memory.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "placement/passes/pack_intervals.h"
#include "placement/plan/happens_before.h"
#include "placement/plan/memory_reuse.h"

namespace facet::placement {
namespace {

int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// One device's step, with registers and tasks numbered from 0. Devices whose
// steps are equal get equal memory.
struct Step {
  struct Reg {
    int64_t bytes = 0;
    ops::Layout layout = ops::Layout::kRowMajor;
    bool persistent = false;
    int credits = 1;
    friend bool operator==(const Reg& a, const Reg& b) {
      return a.bytes == b.bytes && a.layout == b.layout &&
             a.persistent == b.persistent && a.credits == b.credits;
    }
    // Its address changes hands within a step.
    bool shared() const { return !persistent && credits == 1; }
  };
  struct Work {
    ops::StreamKind stream = ops::StreamKind::kCompute;
    std::vector<int> inputs;
    std::vector<int> outputs;
    std::vector<std::pair<int, int>> in_place;
    int64_t workspace_bytes = 0;
    friend bool operator==(const Work& a, const Work& b) {
      return a.stream == b.stream && a.inputs == b.inputs &&
             a.outputs == b.outputs && a.in_place == b.in_place &&
             a.workspace_bytes == b.workspace_bytes;
    }
  };
  std::vector<Reg> registers;
  std::vector<Work> tasks;
  // The largest workspace of the tasks that run once: they come before, one
  // after the other.
  int64_t once_workspace_bytes = 0;
  friend bool operator==(const Step& a, const Step& b) {
    return a.registers == b.registers && a.tasks == b.tasks &&
           a.once_workspace_bytes == b.once_workspace_bytes;
  }
};

// Where the numbers of a Step come from.
struct Numbering {
  std::vector<int> registers;
  std::vector<int> tasks;
  std::vector<int> once_tasks;
};

struct StepMemory {
  MemoryPlan::Device sizes;
  std::vector<int64_t> register_offset;
  std::vector<int64_t> workspace_offset;
  std::vector<std::vector<ops::InPlacePair>> in_place;
  std::vector<Ordering> waits;
};

class StepPlanner {
 public:
  explicit StepPlanner(const Step& step);
  StepMemory Run();

 private:
  bool MayLieOver(int input, int output, int task) const;
  void ChooseInPlace();
  // When the memory of a register whose last reader is at `last_use` can be
  // had without anybody waiting; kNever: not within the step.
  int ReleaseTime(int reg) const;
  void Place();
  void AddWaits();

  int num_tasks() const { return static_cast<int>(step_.tasks.size()); }
  // Works ahead or behind by whole steps: shares no memory, so that nobody
  // has to wait for it.
  bool IsDetached(int task) const {
    return step_.tasks[task].stream == ops::StreamKind::kData ||
           step_.tasks[task].stream == ops::StreamKind::kHost;
  }

  static constexpr int kNever = -1;

  const Step& step_;
  std::vector<int> producer_;              // By register; -1: none in a step.
  std::vector<std::vector<int>> readers_;  // By register, ascending.
  std::vector<int> lies_over_;             // By register: which one; -1.
  std::vector<bool> overwritten_;          // By register, in place.
  std::vector<int> compute_tasks_;
  std::vector<TaskPlace> places_;
  std::vector<FiringEdge> edges_;
  std::vector<int> order_;
  std::vector<HappensBefore> before_;  // One: by the edges.
  StepMemory result_;
};

StepPlanner::StepPlanner(const Step& step)
    : step_(step),
      producer_(step.registers.size(), -1),
      readers_(step.registers.size()),
      lies_over_(step.registers.size(), -1),
      overwritten_(step.registers.size(), false) {
  std::array<std::vector<int>, HappensBefore::kMaxStreams> streams;
  for (int t = 0; t < num_tasks(); ++t) {
    const Step::Work& task = step.tasks[t];
    for (int r : task.outputs) producer_[r] = t;
    for (int r : task.inputs) {
      if (readers_[r].empty() || readers_[r].back() != t) {
        readers_[r].push_back(t);
      }
    }
    places_.push_back({0, static_cast<int>(task.stream)});
    streams[static_cast<int>(task.stream)].push_back(t);
    order_.push_back(t);
  }
  compute_tasks_ = streams[static_cast<int>(ops::StreamKind::kCompute)];
  for (size_t r = 0; r < step.registers.size(); ++r) {
    if (producer_[r] < 0) continue;
    for (int reader : readers_[r]) {
      CHECK_GT(reader, producer_[r]);
      edges_.push_back({producer_[r], reader, 0});
      edges_.push_back({reader, producer_[r], step.registers[r].credits,
                        FiringEdge::Kind::kCredit});
    }
  }
  for (const std::vector<int>& tasks : streams) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      const bool last = i + 1 == tasks.size();
      edges_.push_back({tasks[i], tasks[last ? 0 : i + 1], last ? 1 : 0,
                        FiringEdge::Kind::kStream});
    }
  }
  before_.emplace_back(places_, edges_, order_);
}

bool StepPlanner::MayLieOver(int input, int output, int task) const {
  const Step::Reg& in = step_.registers[input];
  const Step::Reg& out = step_.registers[output];
  if (!in.shared() || !out.shared() || in.bytes != out.bytes ||
      in.layout != out.layout || producer_[input] < 0 || overwritten_[input]) {
    return false;
  }
  // Everybody else has read it by then, anyway.
  for (int reader : readers_[input]) {
    if (reader != task && !before_[0].Implies({reader, task, 0})) return false;
  }
  // Another reading of the same operand must allow it, too.
  const Step::Work& work = step_.tasks[task];
  for (size_t i = 0; i < work.inputs.size(); ++i) {
    if (work.inputs[i] != input) continue;
    bool allowed = false;
    for (const auto& [from, to] : work.in_place) {
      if (from == static_cast<int>(i) && work.outputs[to] == output) {
        allowed = true;
      }
    }
    if (!allowed) return false;
  }
  return true;
}

void StepPlanner::ChooseInPlace() {
  result_.in_place.resize(num_tasks());
  for (int t = 0; t < num_tasks(); ++t) {
    const Step::Work& task = step_.tasks[t];
    if (IsDetached(t)) continue;
    for (const auto& [input, output] : task.in_place) {
      if (input >= static_cast<int>(task.inputs.size())) continue;
      const int from = task.inputs[input];
      const int to = task.outputs[output];
      if (lies_over_[to] >= 0 || !MayLieOver(from, to, t)) continue;
      lies_over_[to] = from;
      overwritten_[from] = true;
      result_.in_place[t].push_back({input, output});
    }
  }
}

int StepPlanner::ReleaseTime(int reg) const {
  int time = producer_[reg];
  if (IsDetached(time)) return kNever;
  for (int reader : readers_[reg]) {
    time = std::max(time, reader);
    if (step_.tasks[reader].stream == ops::StreamKind::kCompute) continue;
    // The first compute task that comes after this reader in any case.
    auto first = std::partition_point(
        compute_tasks_.begin(), compute_tasks_.end(), [&](int t) {
          return !before_[0].Implies({reader, t, 0});
        });
    if (first == compute_tasks_.end()) return kNever;
    time = std::max(time, *first - 1);
  }
  return time;
}

void StepPlanner::Place() {
  const int num_registers = static_cast<int>(step_.registers.size());
  result_.register_offset.assign(num_registers, 0);
  result_.workspace_offset.assign(num_tasks(), 0);
  int64_t persistent = 0;
  for (int r = 0; r < num_registers; ++r) {
    const Step::Reg& reg = step_.registers[r];
    if (reg.shared()) continue;
    result_.register_offset[r] = persistent;
    persistent += Aligned(reg.bytes) * reg.credits;
  }

  // A block: a register and what lies over it, or a workspace.
  std::vector<Interval> blocks;
  std::vector<Interval> exact;  // As alive as it has to be.
  std::vector<int> block_of(num_registers, -1);
  const int end = num_tasks() - 1;
  // In task order: a register comes after the one that it lies over.
  for (int t = 0; t < num_tasks(); ++t) {
    const Step::Work& task = step_.tasks[t];
    for (int r : task.outputs) {
      const Step::Reg& reg = step_.registers[r];
      if (!reg.shared()) continue;
      const int last = readers_[r].empty() ? t : readers_[r].back();
      const int release = ReleaseTime(r);
      if (lies_over_[r] < 0) {
        block_of[r] = static_cast<int>(blocks.size());
        blocks.push_back({Aligned(reg.bytes), t, t});
        exact.push_back(blocks.back());
      } else {
        block_of[r] = block_of[lies_over_[r]];
      }
      Interval& block = blocks[block_of[r]];
      exact[block_of[r]].end = std::max(exact[block_of[r]].end, last);
      if (release == kNever) block.start = 0;
      block.end = std::max(block.end, release == kNever ? end : release);
    }
  }
  std::vector<int> workspace_block(num_tasks(), -1);
  for (int t = 0; t < num_tasks(); ++t) {
    const int64_t bytes = Aligned(step_.tasks[t].workspace_bytes);
    if (bytes == 0) continue;
    workspace_block[t] = static_cast<int>(blocks.size());
    exact.push_back({bytes, t, t});
    // On another stream it is in use while others go on.
    int until = t;
    if (step_.tasks[t].stream == ops::StreamKind::kCommunication) {
      for (int r : step_.tasks[t].outputs) {
        if (readers_[r].empty()) continue;
        until = std::max(until, readers_[r].front() - 1);
      }
    }
    blocks.push_back(IsDetached(t) ? Interval{bytes, 0, end}
                                   : Interval{bytes, t, until});
  }

  const Packing packing = PackIntervals(blocks);
  for (int r = 0; r < num_registers; ++r) {
    if (block_of[r] < 0) continue;
    result_.register_offset[r] = persistent + packing.offset[block_of[r]];
  }
  for (int t = 0; t < num_tasks(); ++t) {
    if (workspace_block[t] < 0) continue;
    result_.workspace_offset[t] =
        persistent + packing.offset[workspace_block[t]];
  }
  const int64_t once = Aligned(step_.once_workspace_bytes);
  result_.sizes.persistent_bytes = persistent;
  result_.sizes.arena_bytes = persistent + std::max(packing.height, once);
  result_.sizes.live_bytes = persistent + std::max(LiveBytes(exact), once);
}

void StepPlanner::AddWaits() {
  struct Content {
    int reg = -1;
    int writer = -1;
  };
  std::vector<Content> contents;
  std::vector<MemorySpan> spans;
  for (size_t r = 0; r < step_.registers.size(); ++r) {
    const Step::Reg& reg = step_.registers[r];
    if (!reg.shared() || producer_[r] < 0) continue;
    const int64_t offset = result_.register_offset[r];
    spans.push_back({offset, offset + reg.bytes, producer_[r]});
    contents.push_back({static_cast<int>(r), producer_[r]});
  }
  for (int t = 0; t < num_tasks(); ++t) {
    const int64_t offset = result_.workspace_offset[t];
    spans.push_back({offset, offset + step_.tasks[t].workspace_bytes, t});
    contents.push_back({-1, t});
  }
  std::vector<Ordering> required;
  for (const Reuse& reuse : FindReuse(spans)) {
    const Content& earlier = contents[reuse.earlier];
    const Content& later = contents[reuse.later];
    auto require = [&](int user) {
      const bool in_place = user == later.writer && later.reg >= 0 &&
                            earlier.reg >= 0 &&
                            lies_over_[later.reg] == earlier.reg;
      if (in_place && reuse.steps == 0) return;
      CHECK(reuse.steps == 1 || user < later.writer)
          << "memory of tasks " << user << " and " << later.writer
          << " overlaps";
      required.push_back({user, later.writer, reuse.steps});
    };
    require(earlier.writer);
    if (earlier.reg < 0) continue;
    for (int reader : readers_[earlier.reg]) require(reader);
  }
  result_.waits = HappensBefore(places_, edges_, order_, required).added();
}

StepMemory StepPlanner::Run() {
  ChooseInPlace();
  Place();
  AddWaits();
  return std::move(result_);
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(const TaskGraph& graph, int num_devices) {
  std::vector<Step> steps(num_devices);
  std::vector<Numbering> numbering(num_devices);
  std::vector<int> local(graph.registers.size());
  for (size_t r = 0; r < graph.registers.size(); ++r) {
    const LocalRegister& reg = graph.registers[r];
    Step& step = steps[reg.device];
    local[r] = static_cast<int>(step.registers.size());
    step.registers.push_back({reg.slice.size_bytes(), reg.slice.layout,
                              reg.persistent, reg.credits});
    numbering[reg.device].registers.push_back(static_cast<int>(r));
  }
  for (size_t t = 0; t < graph.tasks.size(); ++t) {
    const LocalTask& task = graph.tasks[t];
    Step& step = steps[task.device];
    if (task.once) {
      numbering[task.device].once_tasks.push_back(static_cast<int>(t));
      step.once_workspace_bytes =
          std::max(step.once_workspace_bytes, task.workspace_bytes);
      continue;
    }
    numbering[task.device].tasks.push_back(static_cast<int>(t));
    Step::Work work;
    work.stream = task.stream;
    for (int r : task.inputs) work.inputs.push_back(local[r]);
    for (int r : task.outputs) work.outputs.push_back(local[r]);
    for (const ops::InPlacePair& pair : task.in_place) {
      work.in_place.emplace_back(pair.input, pair.output);
    }
    work.workspace_bytes = task.workspace_bytes;
    step.tasks.push_back(std::move(work));
  }

  MemoryPlan plan;
  plan.devices.resize(num_devices);
  plan.register_offset.assign(graph.registers.size(), 0);
  plan.slot_stride.assign(graph.registers.size(), 0);
  plan.workspace_offset.assign(graph.tasks.size(), 0);
  plan.in_place.resize(graph.tasks.size());
  for (size_t r = 0; r < graph.registers.size(); ++r) {
    plan.slot_stride[r] = Aligned(graph.registers[r].slice.size_bytes());
  }
  std::vector<std::pair<int, StepMemory>> planned;  // By device.
  for (int d = 0; d < num_devices; ++d) {
    auto same = std::find_if(
        planned.begin(), planned.end(),
        [&](const auto& entry) { return steps[entry.first] == steps[d]; });
    if (same == planned.end()) {
      same = planned.insert(planned.end(), {d, StepPlanner(steps[d]).Run()});
    }
    const StepMemory& memory = same->second;
    const Numbering& ids = numbering[d];
    plan.devices[d] = memory.sizes;
    for (size_t r = 0; r < ids.registers.size(); ++r) {
      plan.register_offset[ids.registers[r]] = memory.register_offset[r];
    }
    for (size_t t = 0; t < ids.tasks.size(); ++t) {
      plan.workspace_offset[ids.tasks[t]] = memory.workspace_offset[t];
      plan.in_place[ids.tasks[t]] = memory.in_place[t];
    }
    for (int t : ids.once_tasks) {
      plan.workspace_offset[t] = memory.sizes.persistent_bytes;
    }
    for (const Ordering& wait : memory.waits) {
      plan.waits.push_back(
          {ids.tasks[wait.after], ids.tasks[wait.before], wait.steps});
    }
  }
  for (size_t d = 0; d < graph.like.size(); ++d) {
    plan.devices[d] = plan.devices[graph.like[d]];
  }
  return plan;
}

}  // namespace facet::placement
