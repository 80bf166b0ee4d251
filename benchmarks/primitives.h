// What this machine gives on single primitives in isolation: the limits that
// the phases of a training are held against.
#ifndef FACET_BENCHMARKS_PRIMITIVES_H_
#define FACET_BENCHMARKS_PRIMITIVES_H_

#include <map>

#include "absl/status/statusor.h"
#include "ops/graph/data_type.h"

namespace facet::benchmarks {

// Of all cores together.
struct PrimitiveRates {
  struct Arithmetic {
    double product = 0;      // FLOP/s of a matrix product, 1,024 cubed.
    double convolution = 0;  // Of a 3x3 convolution, 128 to 128 channels of
                             // 28x28, batch 16, by the definition's FLOP: a
                             // fast algorithm may be above the product.
  };
  std::map<ops::DataType, Arithmetic> arithmetic;
  double copy_bytes_per_second = 0;  // Read and written, beyond all caches.
};

// The best of a few runs each, with the kernels that trainings use; under a
// second per type. For float32 and, if it is another one, `dtype`. An error is
// a kernel's.
absl::StatusOr<PrimitiveRates> MeasurePrimitives(ops::DataType dtype);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_PRIMITIVES_H_
