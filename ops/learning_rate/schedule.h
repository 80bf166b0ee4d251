// The learning rate as a function of the step: a linear warm-up, then a
// polynomial decay to 0, as arcface_torch's PolynomialLRWarmup.
#ifndef FACET_OPS_LEARNING_RATE_SCHEDULE_H_
#define FACET_OPS_LEARNING_RATE_SCHEDULE_H_

#include <cmath>
#include <cstdint>

#include "ops/kernel.h"

namespace facet::ops {

struct LearningRateSchedule {
  double base = 0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;  // 0: no decay.
  double power = 1;
  // arcface_torch's first step is at the full rate, and its warm-up starts with
  // the second: 1 1/2 1 3/4 ... in the example.
  bool first_step_full = false;

  // Example, base 1, warmup_steps 2, total_steps 6, power 1:
  //   1/2 1 1 3/4 2/4 1/4 0 0 ...
  double At(int64_t step) const {
    const int64_t risen = first_step_full ? step : step + 1;
    if (risen == 0) return base;
    if (risen <= warmup_steps) {
      return base * static_cast<double>(risen) /
             static_cast<double>(warmup_steps);
    }
    if (total_steps == 0) return base;
    if (step >= total_steps) return 0;
    const double left = static_cast<double>(total_steps - step) /
                        static_cast<double>(total_steps - warmup_steps);
    return base * std::pow(left, power);
  }
};

inline LearningRateSchedule ScheduleFromAttributes(
    const Attributes& attributes) {
  LearningRateSchedule schedule;
  schedule.base = attributes.Float("base");
  schedule.warmup_steps = attributes.Int("warmup_steps");
  schedule.total_steps = attributes.Int("total_steps");
  schedule.first_step_full =
      attributes.String("warmup_style") == "as_arcface_torch";
  schedule.power = attributes.Float("power");
  return schedule;
}

}  // namespace facet::ops

#endif  // FACET_OPS_LEARNING_RATE_SCHEDULE_H_
