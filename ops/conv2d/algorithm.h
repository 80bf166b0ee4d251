// The values of the attribute "algorithm" of convolutions:
// - "auto": what is the fastest (KernelDef::alternatives).
// - "direct", "winograd": on CPUs.
// - "cudnn:3": on GPUs, the fourth of the engines that cuDNN's heuristics list,
//   the one they call the fastest first (cudnn_convolution.h).
#ifndef FACET_OPS_CONV2D_ALGORITHM_H_
#define FACET_OPS_CONV2D_ALGORITHM_H_

#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace facet::ops {

inline std::string CudnnAlgorithm(int engine) {
  return absl::StrCat("cudnn:", engine);
}

// 3 of "cudnn:3"; none of anything that CudnnAlgorithm does not return.
inline std::optional<int> CudnnEngine(absl::string_view algorithm) {
  int engine = 0;
  absl::string_view number = algorithm;
  if (!absl::ConsumePrefix(&number, "cudnn:") ||
      !absl::SimpleAtoi(number, &engine) || engine < 0 ||
      algorithm != CudnnAlgorithm(engine)) {
    return std::nullopt;
  }
  return engine;
}

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_ALGORITHM_H_
