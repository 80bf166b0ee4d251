#include "benchmarks/limits.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/step_times.h"
#include "glog/logging.h"
#include "placement/plan/attribute.h"
#include "placement/plan/firing.h"
#include "placement/plan/task_parts.h"
#include "placement/tool/text_table.h"

namespace facet::benchmarks {
namespace {

// What one task has to do, and how fast its device could at best.
struct TaskLoad {
  double flops = 0;
  double bytes = 0;
  double least_seconds = 0;
};

ops::TensorType TypeOf(const placement::Register& reg) {
  ops::TensorType type;
  const absl::StatusOr<ops::DataType> dtype = ops::ParseDataType(reg.dtype());
  CHECK(dtype.ok()) << reg.name();
  type.dtype = *dtype;
  for (const int64_t dim : reg.shape()) type.shape.push_back(dim);
  return type;
}

std::string NameOf(const placement::Task& task) {
  if (!task.has_collective()) return task.op();
  return absl::AsciiStrToLower(
      placement::Collective::Kind_Name(task.collective().kind()));
}

// FLOP by the definition: an algorithm that does fewer gets the credit.
ops::Cost DefinedCost(const placement::Plan& plan, const placement::Task& task,
                      const ops::OpDef& def) {
  absl::StatusOr<ops::Attributes> attributes = placement::ReadAttributes(task);
  CHECK(attributes.ok()) << attributes.status();
  if (attributes->Has("algorithm")) attributes->Set("algorithm", "direct");
  ops::Cost cost;
  for (int part = 0; part < placement::NumParts(task); ++part) {
    const placement::Task one = placement::PartOf(task, part);
    std::vector<ops::TensorType> inputs, outputs;
    for (const int id : one.inputs()) {
      inputs.push_back(TypeOf(plan.registers(id)));
    }
    for (const int id : one.outputs()) {
      outputs.push_back(TypeOf(plan.registers(id)));
    }
    const ops::Cost of_part =
        ops::LocalCost(def, {*attributes, inputs, outputs});
    cost.flops += of_part.flops;
    cost.bytes += of_part.bytes;
  }
  return cost;
}

// Half if an operand is, as the cost model has it.
const PrimitiveRates::Arithmetic& ArithmeticOf(const placement::Plan& plan,
                                               const placement::Task& task,
                                               const PrimitiveRates& rates) {
  ops::DataType dtype = ops::DataType::kFloat32;
  for (const int id : task.inputs()) {
    const ops::DataType type = TypeOf(plan.registers(id)).dtype;
    if (ops::IsHalf(type) && rates.arithmetic.count(type) > 0) dtype = type;
  }
  return rates.arithmetic.at(dtype);
}

// A device has its share of the machine.
TaskLoad LoadOf(const placement::Plan& plan, const placement::Task& task,
                const PrimitiveRates& rates, double devices,
                ops::OpLookup find_op) {
  TaskLoad load;
  double flops_per_second = 0;
  if (task.has_collective()) {
    load.bytes = static_cast<double>(task.collective().bytes());
  } else {
    const ops::OpDef* def = find_op(task.op());
    if (def == nullptr) return load;  // A plan of other ops than these.
    const ops::Cost cost = DefinedCost(plan, task, *def);
    load.flops = cost.flops;
    load.bytes = cost.bytes;
    const PrimitiveRates::Arithmetic& arithmetic =
        ArithmeticOf(plan, task, rates);
    flops_per_second = absl::StartsWith(task.op(), "conv2d")
                           ? arithmetic.convolution
                           : arithmetic.product;
  }
  load.least_seconds = load.bytes * devices / rates.copy_bytes_per_second;
  if (load.flops > 0) {
    load.least_seconds =
        std::max(load.least_seconds, load.flops * devices / flops_per_second);
  }
  return load;
}

double Rest(const Work& work) { return work.seconds - work.least_seconds; }

std::string Percent(double part, double whole) {
  return whole > 0 ? absl::StrFormat("%.0f %%", 100 * part / whole) : "-";
}

void AddLine(const std::string& name, const Work& work, double step_seconds,
             placement::TextTable* table) {
  auto rate = [&](double amount) {
    return amount > 0 && work.seconds > 0
               ? absl::StrFormat("%.1f", amount / work.seconds * 1e-9)
               : "-";
  };
  table->Add({name, absl::StrFormat("%.3f", work.seconds),
              Percent(work.seconds, step_seconds), rate(work.flops),
              rate(work.bytes), absl::StrFormat("%.3f", work.least_seconds),
              Percent(work.least_seconds, work.seconds),
              absl::StrFormat("%.3f", Rest(work))});
}

Work Sum(absl::Span<const Work> parts) {
  Work sum;
  for (const Work& part : parts) {
    sum.phase = part.phase;
    sum.seconds += part.seconds;
    sum.least_seconds += part.least_seconds;
    sum.flops += part.flops;
    sum.bytes += part.bytes;
  }
  return sum;
}

}  // namespace

std::vector<Work> FindWork(const placement::Plan& plan,
                           const runtime::Timeline& timeline, int64_t first,
                           int64_t end, const PrimitiveRates& rates,
                           ops::OpLookup find_op) {
  const double steps = static_cast<double>(std::max<int64_t>(1, end - first));
  const double devices = RecordedDevices(plan, timeline);
  std::map<std::pair<std::string, std::string>, Work> by_name;
  for (const TaskTime& time : TaskTimes(plan, timeline, first, end)) {
    const placement::Task& task = plan.tasks(time.task);
    const TaskLoad load = LoadOf(plan, task, rates, devices, find_op);
    // It is among the times of every step.
    const int every = placement::Every(task);
    Work& work = by_name[{PhaseOf(task), NameOf(task)}];
    work.seconds += time.seconds / steps / devices;
    work.least_seconds += load.least_seconds / steps / every / devices;
    work.flops += load.flops / steps / every;
    work.bytes += load.bytes / steps / every;
  }
  std::map<std::string, size_t> place;
  for (const auto& [phase, seconds] :
       PhaseSeconds(plan, timeline, first, end)) {
    place.emplace(phase, place.size());
  }
  std::vector<Work> all;
  for (auto& [name, work] : by_name) {
    std::tie(work.phase, work.op) = name;
    all.push_back(std::move(work));
  }
  std::stable_sort(all.begin(), all.end(), [&](const Work& a, const Work& b) {
    if (a.phase != b.phase) return place.at(a.phase) < place.at(b.phase);
    return Rest(a) > Rest(b);
  });
  return all;
}

std::string LimitsText(const std::vector<Work>& work,
                       const PrimitiveRates& rates, double step_seconds) {
  std::string text = "in isolation, all devices: ";
  for (const auto& [dtype, arithmetic] : rates.arithmetic) {
    absl::StrAppendFormat(
        &text, "%s matrix product %.0f GFLOP/s, 3x3 convolution %.0f; ",
        std::string(ops::DataTypeName(dtype)), arithmetic.product * 1e-9,
        arithmetic.convolution * 1e-9);
  }
  absl::StrAppendFormat(&text, "copy %.1f GB/s\n",
                        rates.copy_bytes_per_second * 1e-9);
  placement::TextTable table({{"phase, its ops"},
                              {"s/step", true},
                              {"of step", true},
                              {"GFLOP/s", true},
                              {"GB/s", true},
                              {"at the limits", true},
                              {"reached", true},
                              {"rest, s", true}});
  constexpr double kLeastShown = 0.01;  // Of a step.
  for (size_t i = 0; i < work.size();) {
    size_t next = i;
    while (next < work.size() && work[next].phase == work[i].phase) ++next;
    const absl::Span<const Work> ops =
        absl::MakeSpan(work).subspan(i, next - i);
    AddLine(work[i].phase, Sum(ops), step_seconds, &table);
    for (const Work& op : ops) {
      if (op.seconds >= kLeastShown * step_seconds) {
        AddLine(absl::StrCat("  ", op.op), op, step_seconds, &table);
      }
    }
    i = next;
  }
  return absl::StrCat(text, table.ToString(placement::TerminalWidth()));
}

}  // namespace facet::benchmarks
