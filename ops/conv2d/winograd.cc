#include "ops/conv2d/winograd.h"

#include <algorithm>

#include "glog/logging.h"
#include "ops/conv2d/winograd_tiling.h"
#include "ops/conv2d/winograd_transforms.h"
#include "ops/panel_product.h"
#include "ops/parallel.h"

namespace facet::ops {
namespace {

using winograd::KernelView;
using winograd::kKernel;
using winograd::kProducts;
using winograd::Sizes;
using winograd::TileBatch;
using winograd::Tiling;

// body(product, panel, few) so that the panels [panel, panel + few) of all
// products are covered, few at a time.
template <typename Body>
void ForPanels(int64_t panels, const Body& body) {
  constexpr int64_t kFew = 4;
  const int64_t groups = (panels + kFew - 1) / kFew;
  ParallelFor(kProducts * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i % groups * kFew;
      body(i / groups, panel, std::min(kFew, panels - panel));
    }
  });
}

// An operand: its elements, and how they lie.
struct Images {
  void* data;
  Tiling tiling;
};
struct Kernels {
  void* data;
  DataType dtype;
  KernelView view;
};

void Convolve(const Images& source, const Kernels& w, const Images& result,
              float* workspace) {
  const KernelView& view = w.view;
  const int64_t tiles = source.tiling.tiles;
  const Sizes sizes(view.sources, view.results, tiles, Sizes::kLeastToConvolve);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const kernels = results + kProducts * sizes.result;
  winograd::TransformKernels(w.dtype, w.data, view, sizes.kernel, kernels);
  const int64_t panels = view.results / kPanel;
  for (int64_t first = 0; first < tiles; first += sizes.batch) {
    const int64_t count = std::min(sizes.batch, tiles - first);
    winograd::TransformSource(
        source.data, {source.tiling, first, count, sizes.source}, sources);
    ForPanels(panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = count;
      call.depth = view.sources;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = view.sources;
      call.a_depth = 1;
      call.b = kernels + product * sizes.kernel + view.PanelOffset(panel, 0);
      call.b_panel = view.PanelOffset(1, 0);
      call.c = results + product * sizes.result + panel * kPanel;
      call.c_row = view.results;
      // The kernels come from memory with every batch.
      const int64_t next = product + (panel + few) / panels;
      if (next < kProducts) {
        call.ahead[0] = {kernels + next * sizes.kernel +
                             view.PanelOffset((panel + few) % panels, 0),
                         few * call.b_panel};
      }
      PanelProduct(call);
    });
    winograd::TransformResult(
        results, {result.tiling, first, count, sizes.result}, result.data);
  }
}

void KernelGradient(const Images& x, const Images& dy, const Kernels& dw,
                    float* workspace) {
  const KernelView& view = dw.view;
  const int64_t tiles = x.tiling.tiles;
  const Sizes sizes(view.sources, view.results, tiles, Sizes::kLeastToSum);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const sums = results + kProducts * sizes.result;
  const int64_t panels = view.results / kPanel;
  for (int64_t first = 0; first < tiles; first += sizes.batch) {
    const int64_t count = std::min(sizes.batch, tiles - first);
    winograd::TransformSource(x.data, {x.tiling, first, count, sizes.source},
                              sources);
    winograd::TransformResultGradient(
        dy.data, {dy.tiling, first, count, sizes.result}, results);
    ForPanels(panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = view.sources;
      call.depth = count;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = 1;
      call.a_depth = view.sources;
      call.b = results + product * sizes.result + panel * count * kPanel;
      call.b_panel = count * kPanel;
      call.c = sums + product * sizes.kernel + view.PanelOffset(panel, 0);
      call.c_row = kPanel;
      call.c_panel = view.PanelOffset(1, 0);
      call.add = first > 0;
      PanelProduct(call);
    });
  }
  winograd::TransformKernelGradients(sums, view, sizes.kernel, dw.dtype,
                                     dw.data);
}

}  // namespace

bool WinogradSupports(const ConvolutionProblem& p) {
  constexpr int64_t kLeastBlock = 8;
  const Shape& w = p.w.shape;
  return w[2] == kKernel && w[3] == kKernel && p.stride == 1 &&
         p.padding == 1 && p.x.layout == p.y.layout && p.x.dtype == p.y.dtype &&
         ChannelBlock(p.x.layout) % kLeastBlock == 0 && w[0] % kPanel == 0 &&
         w[1] % kPanel == 0;
}

int64_t WinogradWorkspaceBytes(const ConvolutionProblem& p) {
  const Tiling tiling(p.x);
  const bool turned = p.direction == ConvolutionDirection::kGradInput;
  const bool sums = p.direction == ConvolutionDirection::kGradWeight;
  const Sizes sizes(p.w.shape[turned ? 0 : 1], p.w.shape[turned ? 1 : 0],
                    tiling.tiles,
                    sums ? Sizes::kLeastToSum : Sizes::kLeastToConvolve);
  return sizes.floats() * static_cast<int64_t>(sizeof(float));
}

void RunWinograd(const ConvolutionProblem& p, void* x, void* w, void* y,
                 void* workspace) {
  DCHECK(WinogradSupports(p));
  const Images images_x = {x, Tiling(p.x)}, images_y = {y, Tiling(p.y)};
  const int64_t outputs = p.w.shape[0], inputs = p.w.shape[1];
  constexpr int64_t kElements = kKernel * kKernel;
  const KernelView forward = {inputs, outputs, kElements, inputs * kElements,
                              false};
  const KernelView backward = {outputs, inputs, inputs * kElements, kElements,
                               true};
  float* scratch = static_cast<float*>(workspace);
  switch (p.direction) {
    case ConvolutionDirection::kForward:
      return Convolve(images_x, {w, p.w.dtype, forward}, images_y, scratch);
    case ConvolutionDirection::kGradInput:
      return Convolve(images_y, {w, p.w.dtype, backward}, images_x, scratch);
    case ConvolutionDirection::kGradWeight:
      return KernelGradient(images_x, images_y, {w, p.w.dtype, forward},
                            scratch);
  }
}

}  // namespace facet::ops
