// Looks for values that no training wants.

#ifndef FACET_RUNTIME_ACTOR_NON_FINITE_H_
#define FACET_RUNTIME_ACTOR_NON_FINITE_H_

#include <cstdint>

#include "ops/graph/data_type.h"

namespace facet::runtime {

// True if one of `count` values is NaN or +infinity; false for integers.
// -infinity is none of them: it masks classes out, and is the maximum of none.
// Where it is an overflow, what is computed from it is NaN soon.
bool HasNonFinite(ops::DataType dtype, const void* values, int64_t count);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_NON_FINITE_H_
