// Which oneDNN primitive computes a convolution directly, and the formats it
// wants its operands in. What surrounds the primitive (conversions, workspace):
// direct.cc. The other algorithm: winograd.h.
#ifndef FACET_OPS_CONV2D_CONVOLUTION_H_
#define FACET_OPS_CONV2D_CONVOLUTION_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "ops/conv2d/problem.h"
#include "ops/onednn.h"

namespace facet::ops {

struct ConvolutionPrimitive {
  // As the primitive takes them. The element types are those it computes in:
  // bfloat16 only where the CPU has it, else float32.
  dnnl::memory::desc x, w, y;
  dnnl::memory::desc scratchpad;
  std::string implementation;  // oneDNN's name: "jit:avx2".
  // Compiles it, if oneDNN has not yet in this process. Throws dnnl::error.
  std::function<dnnl::primitive()> make;
};

// The element type the problem is computed in.
DataType ConvolutionComputeType(const ConvolutionProblem& problem);

// Direct convolution. Takes x and y as they lie if that gives a fast
// implementation, else whatever formats do. w is always free.
absl::StatusOr<ConvolutionPrimitive> ChooseConvolution(
    const ConvolutionProblem& problem);

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CONVOLUTION_H_
