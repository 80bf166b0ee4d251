// The plain definition of matmul in float64: for the tests of all that contain
// one.
#ifndef FACET_OPS_MATMUL_REFERENCE_H_
#define FACET_OPS_MATMUL_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "ops/testing/op_test.h"

namespace facet::ops::matmul_reference {

inline std::vector<Values> Product(const Attributes& attributes,
                                   const std::vector<TensorType>& types,
                                   const std::vector<Values>& inputs) {
  const bool ta = attributes.Bool("transpose_a");
  const bool tb = attributes.Bool("transpose_b");
  const Shape& a = types[0].shape;
  const Shape& b = types[1].shape;
  const int64_t m = a[ta ? 1 : 0], k = a[ta ? 0 : 1], n = b[tb ? 0 : 1];
  Values y(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t l = 0; l < k; ++l) {
        y[i * n + j] += inputs[0][ta ? l * m + i : i * k + l] *
                        inputs[1][tb ? j * k + l : l * n + j];
      }
    }
  }
  return {y};
}

}  // namespace facet::ops::matmul_reference

#endif  // FACET_OPS_MATMUL_REFERENCE_H_
