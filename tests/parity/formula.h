// The weights and images of the parity tests, by the formula that
// tools/parity/make_goldens.py uses too: both sides compute their inputs, only
// results are stored. A change here needs the same change there.
#ifndef FACET_TESTS_PARITY_FORMULA_H_
#define FACET_TESTS_PARITY_FORMULA_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "ops/graph/shape.h"

namespace facet::tests {

// Elements 0 ... count - 1 of the stream `name`: multiples of 2^-23 in
// [-1, 1).
std::vector<double> UniformAt(absl::string_view name, int64_t count);

// A parameter's values by its name in arcface_torch's state dict, rounded to
// float32: spread like the real initial values, but batch norm not constant,
// so that two that are mixed up show. `clear_of_kinks`: the batch norms before
// PReLUs keep every channel of their outputs well away from 0, some above and
// some below.
std::vector<double> ParameterAt(absl::string_view name, const ops::Shape& shape,
                                bool clear_of_kinks);

}  // namespace facet::tests

#endif  // FACET_TESTS_PARITY_FORMULA_H_
