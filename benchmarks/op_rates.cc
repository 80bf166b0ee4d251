#include "benchmarks/op_rates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "benchmarks/step_times.h"
#include "ops/op_def.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/plan/attribute.h"
#include "placement/plan/firing.h"
#include "placement/plan/task_parts.h"
#include "placement/simulate/hardware.h"

namespace facet::benchmarks {
namespace {

using placement::kMostEfficiency;

absl::StatusOr<std::vector<ops::TensorType>> TypesOf(
    const placement::Plan& plan,
    const google::protobuf::RepeatedField<int32_t>& registers) {
  std::vector<ops::TensorType> types;
  for (int r : registers) {
    const placement::Register& reg = plan.registers(r);
    ASSIGN_OR_RETURN(const ops::DataType dtype,
                     ops::ParseDataType(reg.dtype()));
    types.push_back({dtype, ops::Shape(std::vector<int64_t>(
                                reg.shape().begin(), reg.shape().end()))});
  }
  return types;
}

// Seconds by FLOP and by bytes, over those measured, of one operator.
struct Sums {
  double flops[2] = {0, 0}, flop_seconds[2] = {0, 0};  // float32, half
  double bytes = 0, seconds = 0;
};

// Sum of |predicted - measured|.
double Misfit(const std::vector<TaskSample>& samples, const Sums& sums,
              bool by_memory) {
  double misfit = 0;
  for (const TaskSample& s : samples) {
    const double seconds =
        by_memory ? s.bytes * sums.seconds / sums.bytes
                  : s.flops * sums.flop_seconds[s.half] / sums.flops[s.half];
    misfit += std::abs(seconds - s.seconds);
  }
  return misfit;
}

double Bounded(double efficiency) {
  return std::clamp(efficiency, 1e-3, kMostEfficiency);
}

placement::Efficiency FitEfficiency(const std::vector<TaskSample>& samples,
                                    const placement::Hardware& core,
                                    double cores) {
  Sums sums;
  bool has_flops = true, has_bytes = true;
  for (const TaskSample& s : samples) {
    sums.flops[s.half] += s.flops;
    sums.flop_seconds[s.half] += s.seconds;
    sums.bytes += s.bytes;
    sums.seconds += s.seconds;
    has_flops = has_flops && s.flops > 0;
    has_bytes = has_bytes && s.bytes > 0;
  }
  placement::Efficiency e;
  e.set_float32(kMostEfficiency);
  e.set_half(kMostEfficiency);
  e.set_memory(kMostEfficiency);
  if (has_bytes && (!has_flops || Misfit(samples, sums, true) <
                                      Misfit(samples, sums, false))) {
    e.set_memory(Bounded(sums.bytes / sums.seconds /
                         (cores * core.memory_bytes_per_second())));
    return e;
  }
  if (!has_flops) return e;
  const double peak[2] = {cores * core.float32_flops_per_second(),
                          cores * core.half_flops_per_second()};
  double part[2] = {0, 0};
  for (int half : {0, 1}) {
    if (sums.flop_seconds[half] == 0) continue;
    part[half] =
        Bounded(sums.flops[half] / sums.flop_seconds[half] / peak[half]);
  }
  // Of a precision that was not seen: as the other.
  e.set_float32(part[0] > 0 ? part[0] : part[1]);
  e.set_half(part[1] > 0 ? part[1] : part[0]);
  return e;
}

}  // namespace

absl::StatusOr<std::vector<TaskSample>> TaskSamples(
    const placement::Plan& plan, const runtime::Timeline& timeline,
    int64_t first, int64_t end) {
  std::vector<std::vector<double>> seconds(plan.tasks_size());
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      if (event.step < first || event.step >= end) continue;
      seconds[event.task].push_back((event.end_ns - event.start_ns) * 1e-9);
    }
  }
  std::vector<TaskSample> samples;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const placement::Task& task = plan.tasks(t);
    if (task.has_collective() || seconds[t].empty()) continue;
    // Most of its times are of steps in which it did nothing.
    if (placement::Every(task) > 1) continue;
    const ops::OpDef* def = ops::FindOp(task.op());
    if (def == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(task.name(), ": there is no op ", task.op()));
    }
    ASSIGN_OR_RETURN(const ops::Attributes attributes,
                     placement::ReadAttributes(task));
    TaskSample sample;
    sample.op = task.op();
    for (int part = 0; part < placement::NumParts(task); ++part) {
      const placement::Task one = placement::PartOf(task, part);
      ASSIGN_OR_RETURN(const std::vector<ops::TensorType> inputs,
                       TypesOf(plan, one.inputs()));
      ASSIGN_OR_RETURN(const std::vector<ops::TensorType> outputs,
                       TypesOf(plan, one.outputs()));
      const ops::Cost cost =
          ops::LocalCost(*def, {attributes, inputs, outputs});
      for (const ops::TensorType& type : inputs) {
        sample.half = sample.half || ops::IsHalf(type.dtype);
      }
      sample.flops += cost.flops;
      sample.bytes += cost.bytes;
    }
    sample.seconds = Median(seconds[t]);
    samples.push_back(sample);
  }
  return samples;
}

std::vector<placement::OpRates> FitOpRates(
    const std::vector<TaskSample>& samples, const placement::Hardware& core,
    double cores) {
  std::map<std::string, std::vector<TaskSample>> by_op;
  for (TaskSample sample : samples) {
    // Starting a task is counted for itself.
    sample.seconds = std::max(1e-9, sample.seconds - core.launch_seconds());
    by_op[sample.op].push_back(sample);
  }
  std::vector<placement::OpRates> result;
  for (const auto& [op, of_op] : by_op) {
    placement::OpRates rates;
    rates.add_op(op);
    *rates.mutable_efficiency() = FitEfficiency(of_op, core, cores);
    result.push_back(rates);
  }
  return result;
}

}  // namespace facet::benchmarks
