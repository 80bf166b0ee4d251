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

// One step of a run: the products of a batch of tiles with a block of kernels.
// There are several batches or several blocks, not both (Sizes).
struct Step {
  int64_t first, count;         // Tiles.
  int64_t first_panel, panels;  // Kernels.
  int64_t all_panels;

  bool first_block() const { return first_panel == 0; }
  bool last_block() const { return first_panel + panels == all_panels; }
};

// body(step) for all blocks, and for all batches within each.
template <typename Body>
void ForSteps(const Sizes& sizes, int64_t tiles, int64_t all_panels,
              const Body& body) {
  for (int64_t p = 0; p < all_panels; p += sizes.panels) {
    for (int64_t t = 0; t < tiles; t += sizes.batch) {
      body(Step{t, std::min(sizes.batch, tiles - t), p,
                std::min(sizes.panels, all_panels - p), all_panels});
    }
  }
}

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

void Convolve(const Images& source, const Kernels& w, const Images& result,
              float* workspace) {
  const KernelView& view = w.view;
  const int64_t tiles = source.tiling.tiles;
  const Sizes sizes(view.sources, view.results, tiles, Sizes::kLeastToConvolve);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const kernels = results + kProducts * sizes.result;
  ForSteps(sizes, tiles, view.results / kPanel, [&](const Step& step) {
    const int64_t panels = step.panels;
    if (step.first == 0) {
      winograd::TransformKernels(w.dtype, w.data,
                                 {view, step.first_panel, panels, sizes.kernel},
                                 kernels);
    }
    if (step.first_block()) {
      winograd::TransformSource(
          source.data, {source.tiling, step.first, step.count, sizes.source},
          sources);
    }
    ForPanels(panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = step.count;
      call.depth = view.sources;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = view.sources;
      call.a_depth = 1;
      call.b = kernels + product * sizes.kernel + view.PanelOffset(panel, 0);
      call.b_panel = view.PanelOffset(1, 0);
      call.c = results + product * sizes.result +
               (step.first_panel + panel) * kPanel;
      call.c_row = view.results;
      // The kernels come from memory with every batch.
      const int64_t next = product + (panel + few) / panels;
      if (next < kProducts) {
        call.ahead[0] = {
            kernels + next * sizes.kernel +
                view.PanelOffset((panel + few) % panels, 0),
            few * call.b_panel * static_cast<int64_t>(sizeof(float))};
      }
      PanelProduct(call);
    });
    if (step.last_block()) {
      winograd::TransformResult(
          results, {result.tiling, step.first, step.count, sizes.result},
          result.data);
    }
  });
}

void KernelGradient(const Images& x, const Images& dy, const Kernels& dw,
                    float* workspace) {
  const KernelView& view = dw.view;
  const int64_t tiles = x.tiling.tiles;
  const Sizes sizes(view.sources, view.results, tiles, Sizes::kLeastToSum);
  float* const sources = workspace;
  float* const results = sources + kProducts * sizes.source;
  float* const sums = results + kProducts * sizes.result;
  ForSteps(sizes, tiles, view.results / kPanel, [&](const Step& step) {
    if (step.first_block()) {
      winograd::TransformSource(
          x.data, {x.tiling, step.first, step.count, sizes.source}, sources);
      winograd::TransformResultGradient(
          dy.data, {dy.tiling, step.first, step.count, sizes.result}, results);
    }
    ForPanels(step.panels, [&](int64_t product, int64_t panel, int64_t few) {
      PanelProductCall call;
      call.rows = view.sources;
      call.depth = step.count;
      call.panels = few;
      call.a = sources + product * sizes.source;
      call.a_row = 1;
      call.a_depth = view.sources;
      call.b = results + product * sizes.result +
               (step.first_panel + panel) * step.count * kPanel;
      call.b_panel = step.count * kPanel;
      call.c = sums + product * sizes.kernel + view.PanelOffset(panel, 0);
      call.c_row = kPanel;
      call.c_panel = view.PanelOffset(1, 0);
      call.add = step.first > 0;
      PanelProduct(call);
    });
    if (step.first + step.count == tiles) {
      winograd::TransformKernelGradients(
          sums, {view, step.first_panel, step.panels, sizes.kernel}, dw.dtype,
          dw.data);
    }
  });
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
