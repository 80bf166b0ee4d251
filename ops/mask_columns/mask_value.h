// What mask_columns puts into the columns that it masks.
#ifndef FACET_OPS_MASK_COLUMNS_MASK_VALUE_H_
#define FACET_OPS_MASK_COLUMNS_MASK_VALUE_H_

#include <limits>

#include "ops/graph/attributes.h"

namespace facet::ops {

inline float MaskValue(const Attributes& attributes) {
  return attributes.String("fill") == "zero"
             ? 0.0f
             : -std::numeric_limits<float>::infinity();
}

}  // namespace facet::ops

#endif  // FACET_OPS_MASK_COLUMNS_MASK_VALUE_H_
