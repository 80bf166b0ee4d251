// PredictedTimes: when each task would run if it took the time that the plan
// predicts for it. By the firing rule (firing.h), on a virtual clock.
#ifndef FACET_PLACEMENT_PLAN_PREDICTED_TIMES_H_
#define FACET_PLACEMENT_PLAN_PREDICTED_TIMES_H_

#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

struct TaskTime {
  double start = 0;  // Seconds since the step before ended.
  double end = 0;
};

struct StepTimes {
  // By task; of tasks that run once: 0. Of a step in the steady state: what
  // works ahead (data) starts before the step does, at negative times.
  std::vector<TaskTime> tasks;
  double seconds = 0;  // Between the ends of two steps.
};

// Of a plan without deadlock (ValidatePlan). The members of a collective start
// together, when the last one is ready.
StepTimes PredictedTimes(const Plan& plan);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_PREDICTED_TIMES_H_
