#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "placement/plan/stated_devices.h"
#include "placement/plan/validate_parts.h"

namespace facet::placement {
namespace {

// The collective's task on each member, in rank order.
using Members = std::vector<int>;

int64_t Elements(const Register& reg) {
  int64_t product = 1;
  for (int64_t dim : reg.shape()) product *= dim;
  return product;
}

int64_t Elements(const Plan& plan,
                 const google::protobuf::RepeatedField<int>& registers) {
  int64_t count = 0;
  for (int r : registers) count += Elements(plan.registers(r));
  return count;
}

// Adds them up; -1 if one is negative or the sum too large.
int64_t Sum(const google::protobuf::RepeatedField<int64_t>& counts) {
  int64_t sum = 0;
  for (int64_t count : counts) {
    if (count < 0 || __builtin_add_overflow(sum, count, &sum)) return -1;
  }
  return sum;
}

// Operands and counts of one member's task, by themselves.
absl::Status CheckMember(const Plan& plan, int t, int rank, int size) {
  const Task& task = plan.tasks(t);
  const Collective& c = task.collective();
  // Only an all-reduce may be of many, and only an all-to-all of none.
  const bool reduces_all = c.kind() == Collective::ALL_REDUCE;
  const int least = c.kind() == Collective::ALL_TO_ALL ? 0 : 1;
  const int most = reduces_all ? std::numeric_limits<int>::max() : 1;
  for (int count : {task.inputs_size(), task.outputs_size()}) {
    if (count < least || count > most ||
        (reduces_all && count != task.inputs_size())) {
      return TaskError(plan, t, "has ", task.inputs_size(), " inputs and ",
                       task.outputs_size(),
                       " outputs; a collective has one of "
                       "each, an all-reduce may have as many of both");
    }
  }
  if (task.rank() != rank || task.num_ranks() != size) {
    return TaskError(plan, t, "is rank ", rank, " of ", size,
                     " in its group, but says ", task.rank(), " of ",
                     task.num_ranks());
  }
  for (int i = 0; i < std::min(task.inputs_size(), task.outputs_size()); ++i) {
    const Register& in = plan.registers(task.inputs(i));
    const Register& out = plan.registers(task.outputs(i));
    if (in.dtype() != out.dtype()) {
      return TaskError(plan, t, "input and output ", i, " differ in type");
    }
    if (reduces_all && Elements(in) != Elements(out)) {
      return TaskError(plan, t, "input and output ", i, " have ", Elements(in),
                       " and ", Elements(out), " elements");
    }
  }
  const bool reduces = c.kind() == Collective::ALL_REDUCE ||
                       c.kind() == Collective::REDUCE_SCATTER;
  if (reduces !=
      (c.reduce() == Collective::SUM || c.reduce() == Collective::MAX)) {
    return TaskError(plan, t, "reduce ", Collective::Reduce_Name(c.reduce()),
                     " in ", Collective::Kind_Name(c.kind()));
  }
  const int counts = c.kind() == Collective::ALL_REDUCE ? 0 : size;
  const int receives = c.kind() == Collective::ALL_TO_ALL ? size : 0;
  if (c.counts_size() != counts || c.receive_counts_size() != receives ||
      Sum(c.counts()) < 0 || Sum(c.receive_counts()) < 0) {
    return TaskError(plan, t, "needs ", counts, " counts and ", receives,
                     " receive_counts, none negative");
  }
  int64_t sends = Elements(plan, task.inputs());
  int64_t gets = Elements(plan, task.outputs());
  int64_t want_sends = sends, want_gets = gets;
  switch (c.kind()) {
    case Collective::ALL_REDUCE:
      want_gets = sends;
      break;
    case Collective::ALL_GATHER:
      want_sends = c.counts(rank);
      want_gets = Sum(c.counts());
      break;
    case Collective::REDUCE_SCATTER:
      want_sends = Sum(c.counts());
      want_gets = c.counts(rank);
      break;
    case Collective::ALL_TO_ALL:
      want_sends = Sum(c.counts());
      want_gets = Sum(c.receive_counts());
      break;
    default:
      return TaskError(plan, t, "collective of unknown kind ", c.kind());
  }
  if (sends != want_sends || gets != want_gets) {
    return TaskError(plan, t, "its registers have ", sends, " and ", gets,
                     " elements, its counts ", want_sends, " and ", want_gets);
  }
  return absl::OkStatus();
}

const std::string& ElementType(const Plan& plan, const Task& task) {
  static const std::string* const kNothing = new std::string;
  if (task.inputs_size() > 0) return plan.registers(task.inputs(0)).dtype();
  if (task.outputs_size() > 0) return plan.registers(task.outputs(0)).dtype();
  return *kNothing;
}

// The members' tasks of one collective, by rank, against each other; of those
// that are stated.
absl::Status CheckTogether(const Plan& plan, const Members& members) {
  const Task& first = plan.tasks(members[0]);
  const Collective& c = first.collective();
  for (size_t i = 1; i < members.size(); ++i) {
    const Task& task = plan.tasks(members[i]);
    const Collective& d = task.collective();
    auto differ = [&](absl::string_view what) {
      return TaskError(plan, members[i], "does not match ",
                       TaskLabel(plan, members[0]), " in ", what);
    };
    if (c.kind() != d.kind() || c.reduce() != d.reduce()) return differ("kind");
    if (Every(first) != Every(task))
      return differ("the steps that it works in");
    if (c.kind() == Collective::ALL_TO_ALL) continue;
    if (!std::equal(c.counts().begin(), c.counts().end(), d.counts().begin(),
                    d.counts().end()) ||
        first.inputs_size() != task.inputs_size()) {
      return differ("size");
    }
    for (int j = 0; j < first.inputs_size(); ++j) {
      const Register& theirs = plan.registers(first.inputs(j));
      const Register& own = plan.registers(task.inputs(j));
      if (c.kind() == Collective::ALL_REDUCE &&
          Elements(theirs) != Elements(own)) {
        return differ("size");
      }
      if (theirs.dtype() != own.dtype()) return differ("element type");
    }
  }
  if (c.kind() != Collective::ALL_TO_ALL) return absl::OkStatus();
  std::string dtype;
  for (size_t i = 0; i < members.size(); ++i) {
    const Task& sender = plan.tasks(members[i]);
    const std::string& type = ElementType(plan, sender);
    if (dtype.empty()) dtype = type;
    if (!type.empty() && type != dtype) {
      return TaskError(plan, members[i], "sends ", type, ", others ", dtype);
    }
    for (size_t j = 0; j < members.size(); ++j) {
      const Task& receiver = plan.tasks(members[j]);
      const int64_t sent = sender.collective().counts(receiver.rank());
      const int64_t received =
          receiver.collective().receive_counts(sender.rank());
      if (sent != received) {
        return TaskError(plan, members[i], "sends ", sent, " elements to rank ",
                         receiver.rank(), ", which expects ", received);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckUses(const Plan& plan, RegisterUses* uses) {
  uses->producer.assign(plan.registers_size(), -1);
  uses->mutator.assign(plan.registers_size(), -1);
  uses->readers.assign(plan.registers_size(), {});
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    for (int r : task.outputs()) {
      const Register& reg = plan.registers(r);
      if (uses->producer[r] >= 0) {
        return TaskError(plan, t, "writes ", RegisterLabel(plan, r), ", which ",
                         TaskLabel(plan, uses->producer[r]), " writes too");
      }
      uses->producer[r] = t;
      if (reg.persistent() != task.once()) {
        return TaskError(plan, t, "writes ", RegisterLabel(plan, r),
                         "; persistent registers are written by tasks that "
                         "run once, others by those of every step");
      }
    }
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    for (int r : task.inputs()) {
      if (uses->producer[r] < 0) {
        return TaskError(plan, t, "reads ", RegisterLabel(plan, r),
                         ", which nobody writes");
      }
      const Task& producer = plan.tasks(uses->producer[r]);
      if (Every(task) % Every(producer) != 0) {
        return TaskError(plan, t, "works in every ", Every(task),
                         " steps, but reads ", RegisterLabel(plan, r),
                         ", which is written in every ", Every(producer));
      }
      if (task.once() && uses->producer[r] >= t) {
        return TaskError(plan, t, "reads ", RegisterLabel(plan, r),
                         " before it is written");
      }
      if (task.once() && !plan.registers(r).persistent()) {
        return TaskError(plan, t, "runs once, but reads ",
                         RegisterLabel(plan, r), " of a step");
      }
      std::vector<int>& readers = uses->readers[r];
      if (!task.once() && (readers.empty() || readers.back() != t)) {
        readers.push_back(t);
      }
    }
    for (int i : task.mutates()) {
      int& mutator = uses->mutator[task.inputs(i)];
      if (mutator >= 0 || task.once()) {
        return TaskError(plan, t, "mutates ",
                         RegisterLabel(plan, task.inputs(i)),
                         "; one task of every step may do that");
      }
      mutator = t;
    }
  }
  for (int r = 0; r < plan.registers_size(); ++r) {
    const Register& reg = plan.registers(r);
    if (reg.persistent() && uses->producer[r] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("plan: ", RegisterLabel(plan, r),
                       " is persistent, but no task writes it once"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCollectives(const Plan& plan) {
  // By group and device: the collectives' tasks, in plan order.
  std::map<std::pair<int, int>, std::vector<int>> sequences;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (!task.has_collective()) continue;
    const int g = task.collective().group();
    if (g < 0 || g >= plan.groups_size()) {
      return TaskError(plan, t, "group ", g, " of ", plan.groups_size());
    }
    const auto& devices = plan.groups(g).devices();
    const int rank = static_cast<int>(
        std::find(devices.begin(), devices.end(), task.device()) -
        devices.begin());
    if (rank == devices.size()) {
      return TaskError(plan, t, "is not on a device of its group ", g, ", {",
                       absl::StrJoin(devices, ", "), "}");
    }
    RETURN_IF_ERROR(CheckMember(plan, t, rank, devices.size()));
    std::vector<int>& sequence = sequences[{g, task.device()}];
    if (task.collective().sequence() != static_cast<int>(sequence.size())) {
      return TaskError(plan, t, "has sequence ", task.collective().sequence(),
                       ", but is number ", sequence.size(),
                       " of its group on this device");
    }
    if (!sequence.empty() &&
        plan.tasks(sequence[0]).stream() != task.stream()) {
      return TaskError(plan, t, "runs on stream ", task.stream(), ", ",
                       TaskLabel(plan, sequence[0]),
                       " of the same group on another");
    }
    sequence.push_back(t);
  }
  for (int g = 0; g < plan.groups_size(); ++g) {
    std::vector<int> devices;
    std::vector<const std::vector<int>*> members;
    for (int device : plan.groups(g).devices()) {
      if (!IsStated(plan.devices(device))) continue;
      devices.push_back(device);
      members.push_back(&sequences[{g, device}]);
    }
    if (members.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("plan: group ", g, ": none of its devices is stated"));
    }
    for (size_t m = 0; m < members.size(); ++m) {
      if (members[m]->size() != members[0]->size()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "plan: group ", g, ": device ", devices[m], " takes part in ",
            members[m]->size(), " collectives, device ", devices[0], " in ",
            members[0]->size()));
      }
    }
    for (size_t i = 0; i < members[0]->size(); ++i) {
      Members tasks;
      for (const auto* member : members) tasks.push_back((*member)[i]);
      RETURN_IF_ERROR(CheckTogether(plan, tasks));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFiring(const Plan& plan, const std::vector<FiringEdge>& edges,
                         std::vector<int>* order) {
  // A collective is one transition of all its members.
  std::vector<int> joined(plan.tasks_size());
  std::map<std::pair<int, int>, int> collectives;
  std::vector<std::vector<int>> members(plan.tasks_size());
  int num_steps = 0;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    joined[t] = t;
    if (task.once()) continue;
    ++num_steps;
    if (task.has_collective()) {
      const Collective& c = task.collective();
      joined[t] =
          collectives.emplace(std::make_pair(c.group(), c.sequence()), t)
              .first->second;
    }
    members[joined[t]].push_back(t);
  }
  std::vector<int> missing(plan.tasks_size(), 0);
  std::vector<std::vector<int>> next(plan.tasks_size());
  for (const FiringEdge& edge : edges) {
    if (edge.tokens > 0) continue;
    next[joined[edge.from]].push_back(joined[edge.to]);
    ++missing[joined[edge.to]];
  }
  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (!members[t].empty() && missing[t] == 0) ready.push(t);
  }
  order->clear();
  while (!ready.empty()) {
    const int t = ready.top();
    ready.pop();
    order->insert(order->end(), members[t].begin(), members[t].end());
    for (int n : next[t]) {
      if (--missing[n] == 0) ready.push(n);
    }
  }
  if (static_cast<int>(order->size()) == num_steps) return absl::OkStatus();

  // Walk backwards among the blocked ones until one comes twice.
  std::vector<int> blocked_by(plan.tasks_size(), -1);
  int t = -1;
  for (const FiringEdge& edge : edges) {
    if (edge.tokens == 0 && missing[joined[edge.from]] > 0 &&
        missing[joined[edge.to]] > 0) {
      blocked_by[joined[edge.to]] = joined[edge.from];
      t = joined[edge.to];
    }
  }
  std::vector<bool> seen(plan.tasks_size(), false);
  while (!seen[t]) {
    seen[t] = true;
    t = blocked_by[t];
  }
  std::vector<std::string> cycle;
  const int start = t;
  do {
    cycle.push_back(TaskLabel(plan, t));
    t = blocked_by[t];
  } while (t != start && cycle.size() < 10);
  return absl::InvalidArgumentError(
      absl::StrCat("plan: deadlock: each waits for the next, the last for the "
                   "first: ",
                   absl::StrJoin(cycle, "; ")));
}

}  // namespace facet::placement
