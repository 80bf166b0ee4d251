// 3x3 convolutions of stride 1 and padding 1 by Winograd's F(4x4, 3x3)
// (winograd_tile-inl.h): a quarter of the multiplications of a direct
// convolution where the image's sides are multiples of 4, a third at 7 and 14.
// Float32 inside; the error of a result is about ten times a direct
// convolution's.
#ifndef FACET_OPS_CONV2D_WINOGRAD_H_
#define FACET_OPS_CONV2D_WINOGRAD_H_

#include <cstdint>

#include "ops/conv2d/problem.h"

namespace facet::ops {

// Whether RunWinograd can do it: 3x3, stride 1, padding 1, x and y in the same
// blocked layout, multiples of 16 channels.
bool WinogradSupports(const ConvolutionProblem& problem);

// Scratch memory of a run.
int64_t WinogradWorkspaceBytes(const ConvolutionProblem& problem);

// The operands are the problem's: x, w, y, two of them read and one written.
// Runs on the caller's OpenMP team; the same bits for any size of it.
void RunWinograd(const ConvolutionProblem& problem, void* x, void* w, void* y,
                 void* workspace);

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_WINOGRAD_H_
