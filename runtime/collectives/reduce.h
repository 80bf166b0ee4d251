// The arithmetic of reductions on host memory, in a fixed order.
#ifndef FACET_RUNTIME_COLLECTIVES_REDUCE_H_
#define FACET_RUNTIME_COLLECTIVES_REDUCE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "ops/graph/data_type.h"
#include "runtime/collectives/communicator.h"

namespace facet::runtime {

// outs[*][i] = ins[0][i] op ins[1][i] op ... for i in [begin, end), in this
// order, 16-bit types in float32 and rounded once. An out may be one of the
// ins: every element is read from all ins before it is written. Allocates
// nothing.
void ReduceInOrder(ReduceOp op, ops::DataType dtype,
                   absl::Span<const void* const> ins,
                   absl::Span<void* const> outs, int64_t begin, int64_t end);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_REDUCE_H_
