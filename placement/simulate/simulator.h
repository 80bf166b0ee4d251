// The simulator: a plan on a virtual clock, by the firing rule that the
// runtime's actors follow (placement/plan/firing.h). A task takes the time that
// the plan predicts for it. A plan is a marked graph, so it has no choices:
// when each firing happens does not depend on the order in which the simulator
// works them out.
#ifndef FACET_PLACEMENT_SIMULATE_SIMULATOR_H_
#define FACET_PLACEMENT_SIMULATE_SIMULATOR_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// One firing of one task. Seconds since the first step began.
struct Firing {
  int task = 0;  // Index in the plan.
  int64_t step = 0;
  // Its inputs were there and its stream was free. A member of a collective
  // waits from here for the others.
  double ready = 0;
  double start = 0;  // Of the work: all members of a collective at once.
  double end = 0;
};

struct Simulation {
  // Of all steps, by start; those that start together by end, then by task.
  std::vector<Firing> firings;
  // By step: when the last task of it ended that is not on the data stream,
  // which works ahead.
  std::vector<double> step_ends;
};

// Runs `steps` (1 or more) steps. The plan has no deadlock (ValidatePlan). The
// members of a collective start together, when the last one is ready; tasks
// with `once` take no part.
Simulation Simulate(const Plan& plan, int64_t steps);

struct TaskTime {
  double start = 0;  // Seconds since the step before ended.
  double end = 0;
};

// A step in the steady state.
struct StepTimes {
  // By task, of a step in which all work (Task.every); of tasks that run once:
  // 0. What works ahead (data) starts before the step does, at negative times.
  std::vector<TaskTime> tasks;
  // Between the ends of two steps; the mean over those with and without what
  // works in every N-th.
  double seconds = 0;
};

StepTimes SimulateSteadyStep(const Plan& plan);

// Seconds of one steady step, the mean over the devices: {phase, seconds} in
// the order data, forward, backward, head, communication, waiting (for the
// other members of a collective), optimizer. Streams overlap, so the sum may
// exceed the step.
std::vector<std::pair<std::string, double>> SimulatedPhases(const Plan& plan);

// The most bytes of each device's arena that hold a value at one moment:
// variables and registers with several slots always, any other register from
// the start of its writer to the end of its last reader, a workspace while its
// task runs, and an output that lies over its input once. `firings` may be
// simulated or recorded; of whole steps. At most Device::arena_bytes.
std::vector<int64_t> PeakBytes(const Plan& plan,
                               const std::vector<Firing>& firings);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_SIMULATOR_H_
