// MeasuredTimes: when each task ran, from a trace that a run of the plan wrote
// (--trace_out of the benchmarks).
#ifndef FACET_PLACEMENT_TOOL_MEASURED_TIMES_H_
#define FACET_PLACEMENT_TOOL_MEASURED_TIMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "placement/plan/plan.pb.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {

// Of the last step that is whole in the trace, in seconds since its first task
// that is no work ahead (data) began. `trace`: Trace Event JSON. Tasks are
// known by device and name. InvalidArgument: no trace, or one of another plan.
absl::StatusOr<StepTimes> MeasuredTimes(const Plan& plan,
                                        const std::string& trace);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_MEASURED_TIMES_H_
