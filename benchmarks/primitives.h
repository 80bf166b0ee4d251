// What this machine gives on single primitives in isolation: the limits that
// the phases of a training are held against.
#ifndef FACET_BENCHMARKS_PRIMITIVES_H_
#define FACET_BENCHMARKS_PRIMITIVES_H_

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/data_type.h"
#include "runtime/device/device.h"

namespace facet::benchmarks {

// Of all devices together.
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

// The best of a few runs each, on all devices at the same time, with the
// kernels and the teams of threads that trainings use; under a second per type.
// For float32 and, if it is another one, `dtype`. An error is a kernel's or a
// device's. The devices must be idle.
absl::StatusOr<PrimitiveRates> MeasurePrimitives(
    const std::vector<runtime::Device*>& devices, ops::DataType dtype);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_PRIMITIVES_H_
