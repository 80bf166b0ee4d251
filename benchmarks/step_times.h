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

// The phase of the report that a task belongs to: "data", "forward",
// "backward", "head", "communication" or "optimizer".
std::string PhaseOf(const placement::Task& task);

// One run of one task, or of several that were replayed as one.
struct TaskTime {
  int task = 0;   // Index in the plan; of the first.
  int tasks = 1;  // How many.
  int64_t step = 0;
  double seconds = 0;  // Of a collective: from when the last member has come.
  double waited_seconds = 0;  // For that member; 0 of all other tasks.
};

// Of steps [first, end).
std::vector<TaskTime> TaskTimes(const placement::Plan& plan,
                                const runtime::Timeline& timeline,
                                int64_t first, int64_t end);

// How many devices the timeline has tasks of: those of this process.
double RecordedDevices(const placement::Plan& plan,
                       const runtime::Timeline& timeline);

// The runtime's own time, in seconds per step, mean over these devices and over
// steps [first, end): what is left of the compute stream's time without its
// tasks and without waiting for others' (a kernel, a collective, data) to end.
// From the last of those ends to the start is the price of the actors: tokens,
// mailboxes, wake-ups of threads.
double RuntimeSeconds(const placement::Plan& plan,
                      const runtime::Timeline& timeline, int64_t first,
                      int64_t end);

// Seconds per step that a device is busy with each phase, mean over devices
// and over steps [first, end): data, forward, backward, head (its forward and
// backward, and its fused update), communication (from when the last device
// has come), waiting (for that device), optimizer; and replayed, if anything
// was, of which the device does not say what took how long. Streams overlap, so
// the sum may exceed a step.
std::vector<std::pair<std::string, double>> PhaseSeconds(
    const placement::Plan& plan, const runtime::Timeline& timeline,
    int64_t first, int64_t end);

// Of steps of which not all do the same, the means of `period` (1 or more) each
// that do all of it together, wherever it begins: from step `first` on, without
// a rest. At least one period must be there.
std::vector<double> MeanOfPeriods(const std::vector<double>& step_seconds,
                                  int64_t first, int64_t period);

double Median(std::vector<double> values);  // Of at least one.

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_STEP_TIMES_H_
