// Which elements dropout keeps: a function of the run's seed, the key, the step
// and the element of the logical tensor.
#ifndef FACET_OPS_DROPOUT_MASK_H_
#define FACET_OPS_DROPOUT_MASK_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ops/host_device.h"
#include "ops/kernel.h"
#include "ops/random.h"

namespace facet::ops {

struct DropoutMask {
  uint32_t key = 0;
  uint32_t threshold =
      0;            // Kept if the element's random word is at least this.
  float scale = 1;  // Of what is kept.

  explicit DropoutMask(const Attributes& attributes)
      : key(static_cast<uint32_t>(attributes.Int("key"))) {
    const double rate = attributes.Float("rate");
    threshold = static_cast<uint32_t>(
        std::min(std::round(std::ldexp(rate, 32)), std::ldexp(1.0, 32) - 1));
    scale = static_cast<float>(1 / (1 - rate));
  }

  RandomStream StreamOf(const KernelContext& context) const {
    return {static_cast<uint64_t>(context.seed), key,
            static_cast<uint32_t>(context.step)};
  }
  FACET_HOST_DEVICE float Factor(uint32_t word) const {
    return word >= threshold ? scale : 0.0f;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_DROPOUT_MASK_H_
