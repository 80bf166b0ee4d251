// The attribute "may_round" of ops that multiply float32 matrices or convolve:
// their factors may be rounded to 11 significant bits, those of float16 with
// the range of float32 (NVIDIA's TF32), where tensor cores multiply such. Sums
// stay float32. 16-bit factors are multiplied as they are.
// placement/passes/allow_rounding.h sets it.
//
// A product of n terms is then off by at most 2^-10 of the sum of the terms'
// sizes: each factor by 2^-11 of its own.
#ifndef FACET_OPS_MAY_ROUND_ATTRIBUTE_H_
#define FACET_OPS_MAY_ROUND_ATTRIBUTE_H_

#include "ops/op_def.h"

namespace facet::ops {

inline constexpr char kMayRound[] = "may_round";

inline AttributeSpec MayRoundAttribute() {
  return {kMayRound, false, false,
          "factors may be rounded to 11 bits, for tensor cores"};
}

}  // namespace facet::ops

#endif  // FACET_OPS_MAY_ROUND_ATTRIBUTE_H_
