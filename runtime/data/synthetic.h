// Synthetic images: for measuring speed, and for tests, without a data set.
#ifndef FACET_RUNTIME_DATA_SYNTHETIC_H_
#define FACET_RUNTIME_DATA_SYNTHETIC_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ops/data_source.h"

namespace facet::runtime {

struct SyntheticOptions {
  int64_t classes = 0;
  int64_t seed = 0;
  // Every label is 1, as arcface_torch's synthetic data set has it (then one
  // device holds all positives). False: uniform over the classes.
  bool constant_label = false;
};

// Pixels are uniform in [-1, 1), every element a function of (seed, step,
// index): the same for any number of devices. InvalidArgument if classes < 2.
absl::StatusOr<std::unique_ptr<ops::DataSource>> CreateSyntheticSource(
    const SyntheticOptions& options);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DATA_SYNTHETIC_H_
