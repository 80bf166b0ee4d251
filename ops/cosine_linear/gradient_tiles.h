// How the kernels that update class weights make their gradient, dy^T x: in
// tiles of rows that are used up while they are in a core's cache. It is never
// stored whole.
#ifndef FACET_OPS_COSINE_LINEAR_GRADIENT_TILES_H_
#define FACET_OPS_COSINE_LINEAR_GRADIENT_TILES_H_

#include <omp.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "ops/cosine_linear/class_tiles.h"
#include "ops/elementwise.h"
#include "ops/l2_normalize/dot.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/panel_product.h"
#include "ops/parallel_status.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/sgd_update/stored_state.h"
#include "ops/status_macros.h"

namespace facet::ops {

// Of x [N, D] and dy [N, C].
class GradientTiles {
 public:
  GradientTiles(int64_t n, int64_t c, int64_t d)
      : tiles_(c, d, kMaxRows), n_(n), c_(c), d_(d) {}

  const ClassTiles& tiles() const { return tiles_; }

  int64_t workspace_bytes() const {
    return (x_floats() + tiles_.threads() * thread_floats()) *
           static_cast<int64_t>(sizeof(float));
  }

  // In parallel, for all tiles: body(classes, products, stride), which returns
  // a Status, gets row j of dy^T x, for class classes.begin + j, at products +
  // j * stride. ahead(tile, last) -> two TileAhead, brought into the cache
  // meanwhile; `last` is the end of the thread's tiles.
  template <typename Ahead, typename Body>
  absl::Status ForEach(const float* x, const float* dy, void* workspace,
                       const Ahead& ahead, const Body& body) const {
    float* const x_panels = static_cast<float*>(workspace);
    PackPanels(x, d_, n_, d_, x_panels);
    return ParallelForStatus(
        tiles_.count, tiles_.grain(),
        [&](int64_t first, int64_t last) -> absl::Status {
          float* products =
              x_panels + x_floats() + omp_get_thread_num() * thread_floats();
          float* dy_tile = products + tiles_.rows * stride();
          for (int64_t t = first; t < last; ++t) {
            const Range classes = tiles_[t];
            for (int64_t i = 0; i < n_; ++i) {
              std::copy_n(dy + i * c_ + classes.begin, classes.size(),
                          dy_tile + i * classes.size());
            }
            Multiply(dy_tile, x_panels, classes.size(), ahead(t, last),
                     products);
            RETURN_IF_ERROR(body(classes, products, stride()));
          }
          return absl::OkStatus();
        });
  }

 private:
  static constexpr int64_t kMaxRows = 24;

  // The workspace: x as panels of columns, [D / 16][N][16], and then of each
  // thread a tile of products and one of dy.
  int64_t stride() const { return PanelsOf(d_) * kPanel; }
  int64_t x_floats() const { return n_ * stride(); }
  int64_t thread_floats() const {
    const int64_t floats = tiles_.rows * (n_ + stride());
    return (floats + kPanel - 1) / kPanel * kPanel;
  }

  // products [classes, D] = dy [N, classes] transposed * x.
  void Multiply(const float* dy, const float* x_panels, int64_t classes,
                const std::array<TileAhead, 2>& ahead, float* products) const {
    constexpr int64_t kPanels = 2;
    const int64_t panels = PanelsOf(d_);
    const int64_t parts = (panels + kPanels - 1) / kPanels;
    for (int64_t p = 0; p < panels; p += kPanels) {
      PanelProductCall product;
      product.rows = classes;
      product.depth = n_;
      product.panels = std::min(kPanels, panels - p);
      product.a = dy;
      product.a_row = 1;
      product.a_depth = classes;
      product.b = x_panels + p * n_ * kPanel;
      product.b_panel = n_ * kPanel;
      product.c = products + p * kPanel;
      product.c_row = stride();
      for (size_t i = 0; i < ahead.size(); ++i) {
        product.ahead[i] = ahead[i].Part(p / kPanels, parts);
      }
      PanelProduct(product);
    }
  }

  ClassTiles tiles_;
  int64_t n_, c_, d_;
};

// The step of a row of w, `run`, with its product, (dy^T x)_j, which is the
// gradient by the normalised row. catch_up(&weight, &momentum) makes what is
// stored the row that the product belongs to.
template <typename W, typename M, typename CatchUp>
void UpdateClass(const SgdStep& step, float eps, const float* product,
                 const StateRun<W, M>& run, const RandomStream& rounding,
                 const CatchUp& catch_up) {
  auto weight_at = [&](auto v, int64_t i) {
    using V = decltype(v);
    V weight = Load<V>(run.weight + i);
    V momentum = Load<V>(run.momentum + i);
    catch_up(&weight, &momentum);
    return weight;
  };
  const RowNorm norm = RowNormOf(Sum(run.count,
                                     [&](auto v, int64_t i) {
                                       const auto w = weight_at(v, i);
                                       return w * w;
                                     }),
                                 eps);
  const float projection =
      Projection(norm, Sum(run.count, [&](auto v, int64_t i) {
                   return weight_at(v, i) * Load<decltype(v)>(product + i);
                 }));
  UpdateState(run, rounding, [&](auto* weight, auto* momentum, int64_t i) {
    using V = std::decay_t<decltype(*weight)>;
    catch_up(weight, momentum);
    step(weight, momentum,
         NormalizeGradient(Load<V>(product + i), *weight, norm, projection));
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_GRADIENT_TILES_H_
