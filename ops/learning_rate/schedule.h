// The learning rate as a function of the step: a linear warm-up, then a
// polynomial decay to 0, as arcface_torch's PolyScheduler (but the warm-up
// begins with its first part, not with the full rate).
#ifndef FACET_OPS_LEARNING_RATE_SCHEDULE_H_
#define FACET_OPS_LEARNING_RATE_SCHEDULE_H_

#include <cmath>
#include <cstdint>

namespace facet::ops {

struct LearningRateSchedule {
  double base = 0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;  // 0: no decay.
  double power = 1;

  // Example, base 1, warmup_steps 2, total_steps 6, power 1:
  //   1/2 1 1 3/4 2/4 1/4 0 0 ...
  double At(int64_t step) const {
    if (step < warmup_steps) {
      return base * static_cast<double>(step + 1) /
             static_cast<double>(warmup_steps);
    }
    if (total_steps == 0) return base;
    if (step >= total_steps) return 0;
    const double left = static_cast<double>(total_steps - step) /
                        static_cast<double>(total_steps - warmup_steps);
    return base * std::pow(left, power);
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_LEARNING_RATE_SCHEDULE_H_
