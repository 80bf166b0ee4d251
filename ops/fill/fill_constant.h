// FillConstant: every element of a device's share to one value; also how
// "variable" and "unpack_regions" fill theirs.
#ifndef FACET_OPS_FILL_FILL_CONSTANT_H_
#define FACET_OPS_FILL_FILL_CONSTANT_H_

#include "ops/kernel.h"

namespace facet::ops {

// Any dtype and layout; floats are rounded to nearest even. The value must be
// representable in an integer dtype.
void FillConstant(const TensorView& tensor, double value);

}  // namespace facet::ops

#endif  // FACET_OPS_FILL_FILL_CONSTANT_H_
