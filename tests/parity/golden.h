// A golden file: what arcface_torch computed in one case. Written by
// tools/parity/make_goldens.py, line by line; '#' starts a comment:
//
//   network r18
//   batch 4
//   classes 50
//   embedding_size 512
//   margin 1 0.5 0
//   clear_of_kinks 0|1
//   sgd_rate_momentum_decay_clip 0.001 0.9 0.0005 50
//   loss STEP VALUE
//   tensor KIND NAME SIZE NORM INDEX VALUE [INDEX VALUE ...]
#ifndef FACET_TESTS_PARITY_GOLDEN_H_
#define FACET_TESTS_PARITY_GOLDEN_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace facet::tests {

// Some elements of a tensor, and its L2 norm.
struct GoldenTensor {
  int64_t size = 0;
  double norm = 0;
  std::vector<std::pair<int64_t, double>> elements;  // (row-major index, value)
};

struct Golden {
  std::string network;
  int64_t batch = 0;
  int64_t classes = 0;
  int64_t embedding_size = 0;
  double margin[3] = {};
  bool clear_of_kinks = false;  // See formula.h.
  double rate = 0, momentum = 0, decay = 0, clip = 0;
  std::vector<double> losses;  // By step, before its update.
  // By kind, by name. Kinds: "embedding" and "gradient" of step 0, the latter
  // before clipping; "running", the batch-norm statistics after step 0;
  // "update", what all steps together added to a parameter.
  std::map<std::string, std::map<std::string, GoldenTensor>> tensors;
};

// InvalidArgument with the line's number for a line that is not understood;
// NotFound if the file cannot be opened.
absl::StatusOr<Golden> ReadGolden(const std::string& path);

}  // namespace facet::tests

#endif  // FACET_TESTS_PARITY_GOLDEN_H_
