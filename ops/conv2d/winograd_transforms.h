// The transforms of whole batches of tiles: images and kernels to matrices and
// back. On the caller's OpenMP team; with the widest vectors of the CPU that
// the layout allows.
#ifndef FACET_OPS_CONV2D_WINOGRAD_TRANSFORMS_H_
#define FACET_OPS_CONV2D_WINOGRAD_TRANSFORMS_H_

#include <cstdint>

#include "ops/conv2d/winograd_tiling.h"

namespace facet::ops::winograd {

// The tiles [first, first + count) of images. `distance`: of the 36 matrices.
struct TileBatch {
  const Tiling& tiling;
  int64_t first, count, distance;
};

// The sources of 4x4 results: [product][tile][channel].
void TransformSource(const void* images, const TileBatch& batch, float* out);

// [product][tile][channel] to images.
void TransformResult(const float* in, const TileBatch& batch, void* images);

// Gradients of results, as panels: [product][channel / 16][tile][16].
void TransformResultGradient(const void* images, const TileBatch& batch,
                             float* out);

// How the row-major w [O, C, 3, 3] is the kernels from source to result
// channels: as it is, or turned by 180 degrees from y's channels to x's.
struct KernelView {
  int64_t sources, results;              // Channels.
  int64_t source_stride, result_stride;  // In elements of w.
  bool turned;

  // Where the 16 results of a panel from one source channel are, in a matrix of
  // panels: [result channel / 16][source channel][16].
  int64_t PanelOffset(int64_t panel, int64_t source) const;
};

// The panels [first, first + count) of 16 results. `distance`: of the 36
// matrices that hold them, and no others.
struct KernelBlock {
  const KernelView& view;
  int64_t first, count, distance;
};

// w to panels, for each of the 36 products.
void TransformKernels(DataType dtype, const void* w, const KernelBlock& block,
                      float* out);

// And back, of gradients.
void TransformKernelGradients(const float* in, const KernelBlock& block,
                              DataType dtype, void* w);

}  // namespace facet::ops::winograd

#endif  // FACET_OPS_CONV2D_WINOGRAD_TRANSFORMS_H_
