// Direct convolutions by oneDNN.
#ifndef FACET_OPS_CONV2D_DIRECT_H_
#define FACET_OPS_CONV2D_DIRECT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "ops/conv2d/problem.h"
#include "ops/kernel.h"

namespace facet::ops {

// Scratch memory of a run.
absl::StatusOr<int64_t> DirectWorkspaceBytes(const ConvolutionProblem& problem);

// The operands are two inputs and the output, in the order of the direction's
// op: x, w, y; dy, w, dx; x, dy, dw.
absl::StatusOr<Kernel> MakeDirectKernel(const ConvolutionProblem& problem);

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_DIRECT_H_
