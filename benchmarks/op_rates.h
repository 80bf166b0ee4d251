// What operators reach of a CPU core's peak, from a recorded run: the figures
// of placement/simulate/hardware/cpu.txtpb.
#ifndef FACET_BENCHMARKS_OP_RATES_H_
#define FACET_BENCHMARKS_OP_RATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/plan/plan.pb.h"
#include "placement/simulate/hardware.pb.h"
#include "runtime/trace/timeline.h"

namespace facet::benchmarks {

// One task: what the cost model counts of it, and how long it took.
struct TaskSample {
  std::string op;
  bool half = false;  // An input is in half precision.
  double flops = 0;
  double bytes = 0;
  double seconds = 0;
};

// Of the tasks of `plan` with a kernel; seconds are the median over the steps
// [first, end), of which the timeline has a record.
absl::StatusOr<std::vector<TaskSample>> TaskSamples(
    const placement::Plan& plan, const runtime::Timeline& timeline,
    int64_t first, int64_t end);

// The efficiency of each operator on a device of so many of these cores: of its
// arithmetic or of the memory, whichever explains the samples better; the other
// is set so high that it does not count. Operators in name order.
std::vector<placement::OpRates> FitOpRates(
    const std::vector<TaskSample>& samples, const placement::Hardware& core,
    double cores);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_OP_RATES_H_
