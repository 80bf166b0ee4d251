// How well a trained network tells people apart: embeddings of photographs,
// identification against class centres, verification of pairs.
#ifndef FACET_BENCHMARKS_EVALUATION_H_
#define FACET_BENCHMARKS_EVALUATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/local_devices.h"
#include "runtime/data/image_folder.h"
#include "runtime/session.h"

namespace facet::benchmarks {

// [count, dimension], row-major; rows have length 1.
struct Embeddings {
  int64_t dimension = 0;
  std::vector<float> values;
  int64_t count() const {
    return dimension == 0 ? 0 : static_cast<int64_t>(values.size()) / dimension;
  }
  const float* row(int64_t i) const { return &values[i * dimension]; }
};

// Runs the backbone in inference mode (running statistics of the first group)
// with the weights of `trained`, compiled for the same devices. Both the
// photograph and its mirror image are embedded and added, as the peers do.
absl::StatusOr<Embeddings> Embed(
    const std::string& network, int64_t embedding,
    const std::vector<runtime::Photograph>& photographs,
    const LocalDevices& local, runtime::Session& trained);

// Share of the photographs whose nearest of the first `people` rows of
// `centres` (any length) by cosine is that of their person.
double Rank1Accuracy(const Embeddings& embeddings,
                     const std::vector<runtime::Photograph>& photographs,
                     const runtime::HostTensor& centres, int64_t people);

struct Verification {
  int64_t same_pairs = 0;
  int64_t other_pairs = 0;
  // Mean of the accuracies on same and other pairs at the best threshold
  // (plain accuracy would be high for "nobody is the same": most pairs are of
  // different people).
  double balanced_accuracy = 0;
  double accuracy = 0;   // Plain, at its own best threshold.
  double threshold = 0;  // Cosine, of the balanced one.
};

// Over all pairs of the photographs. At least one pair of each kind.
Verification VerifyAllPairs(
    const Embeddings& embeddings,
    const std::vector<runtime::Photograph>& photographs);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_EVALUATION_H_
