// Dynamic loss scaling (as torch.cuda.amp.GradScaler): the scale grows after a
// number of good steps and shrinks after one whose gradients overflowed.
#ifndef FACET_OPS_LOSS_SCALE_LOSS_SCALE_H_
#define FACET_OPS_LOSS_SCALE_LOSS_SCALE_H_

#include <cfloat>
#include <cmath>

#include "ops/host_device.h"

namespace facet::ops {

// Updates both after a step; `skip`: it overflowed.
FACET_HOST_DEVICE inline void UpdateLossScale(bool skip, float growth_interval,
                                              float* scale, float* good_steps) {
  float next = *scale;
  if (skip) {
    next = *scale / 2;
    *good_steps = 0;
  } else if (*good_steps + 1 >= growth_interval) {
    next = *scale * 2;
    *good_steps = 0;
  } else {
    *good_steps += 1;
  }
  // From 0 or infinity there is no way back.
  if (next >= FLT_MIN && next <= FLT_MAX) *scale = next;
}

}  // namespace facet::ops

#endif  // FACET_OPS_LOSS_SCALE_LOSS_SCALE_H_
