// What a bfloat16 variable should hold after an update, from what the same
// update makes of float32 variables of the same values.
#ifndef FACET_OPS_TESTING_ROUNDED_H_
#define FACET_OPS_TESTING_ROUNDED_H_

#include "ops/random.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {

enum class StateKind { kWeight, kMomentum };

// That `got` is `exact`, rounded stochastically by the words of the stream if
// it is bfloat16. A rare element may be its other neighbour: compilers may
// contract a*b+c in one of two instances of a template and not in the other.
void ExpectRounded(const HostValue& got, const HostValue& exact,
                   const RandomStream& stream, StateKind kind);

// The same values in another type.
HostValue WithType(const HostValue& value, DataType dtype);

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_ROUNDED_H_
