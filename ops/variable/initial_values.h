// What the kernels of "variable" agree on, so that every kind of device draws
// the same values.
#ifndef FACET_OPS_VARIABLE_INITIAL_VALUES_H_
#define FACET_OPS_VARIABLE_INITIAL_VALUES_H_

#include <cstdint>

namespace facet::ops {

// RandomStream::step. No step of training has this number, so that initial
// values are unlike what the same key gives later.
inline constexpr uint32_t kBeforeTheFirstStep = 0xFFFFFFFF;

}  // namespace facet::ops

#endif  // FACET_OPS_VARIABLE_INITIAL_VALUES_H_
