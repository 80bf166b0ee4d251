// From a timeline to figures: how long steps took, and where the time went.
#ifndef FACET_BENCHMARKS_STEP_TIMES_H_
#define FACET_BENCHMARKS_STEP_TIMES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan/plan.pb.h"
#include "runtime/trace/timeline.h"

namespace facet::benchmarks {

// Seconds of each step, from the end of the step before (for step 0: from its
// first task) to the end of its last task that is not on the data stream.
std::vector<double> StepSeconds(const placement::Plan& plan,
                                const runtime::Timeline& timeline);

// Seconds per step that a device is busy with each phase, mean over devices
// and over steps [first, end): data, forward, backward, head (its forward and
// backward, and its fused update), communication (from when the last device
// has come), waiting (for that device), optimizer, runtime (nothing runs on any
// stream: the price of the actors). Streams overlap, so the sum may exceed a
// step.
std::vector<std::pair<std::string, double>> PhaseSeconds(
    const placement::Plan& plan, const runtime::Timeline& timeline,
    int64_t first, int64_t end);

double Median(std::vector<double> values);  // Of at least one.

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_STEP_TIMES_H_
