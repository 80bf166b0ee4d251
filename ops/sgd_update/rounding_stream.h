// The random numbers by which a kernel rounds what it stores as bfloat16.
#ifndef FACET_OPS_SGD_UPDATE_ROUNDING_STREAM_H_
#define FACET_OPS_SGD_UPDATE_ROUNDING_STREAM_H_

#include <cstdint>

#include "ops/kernel.h"
#include "ops/random.h"

namespace facet::ops {

// Of this run of an op, whose attribute is `key`.
inline RandomStream RoundingStream(const KernelContext& context, int64_t key) {
  return {static_cast<uint64_t>(context.seed), static_cast<uint32_t>(key),
          static_cast<uint32_t>(context.step)};
}

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROUNDING_STREAM_H_
