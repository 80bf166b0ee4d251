// What CUDA kernels that update class weights have in common: the gradient of a
// tile of classes, dy^T x, by Gemm, and the step of one class. On CPUs:
// gradient_tiles.h.
#ifndef FACET_OPS_COSINE_LINEAR_DEVICE_UPDATE_H_
#define FACET_OPS_COSINE_LINEAR_DEVICE_UPDATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/cosine_linear/device_tiles.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/normalize.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update/sgd.h"

namespace facet::ops {

// For all tiles of the columns of dy, in order: body(classes, products), which
// returns a Status, gets the rows of dy^T x of the tile's classes. x [N, D], dy
// [N, C]; `workspace` is that of DeviceTiles(C, D).
template <typename Body>
absl::Status ForGradientTiles(cublasContext* cublas, bool may_round,
                              const TensorView& x, const TensorView& dy,
                              void* workspace, const Body& body) {
  const int64_t c = dy.shape()[1], d = x.shape()[1];
  const DeviceTiles tiles(c, d);
  return tiles.ForEach([&](Range classes) -> absl::Status {
    const DeviceSpan<float> products = tiles.Matrix(workspace, classes.size());
    GemmCall call;
    call.may_round = may_round;
    call.m = classes.size();
    call.n = d;
    call.k = x.shape()[0];
    call.a = {dy.as<float>() + classes.begin, dy.dtype(), c, true};
    call.b = {x.data, x.dtype(), d};
    call.c = {products.data(), DataType::kFloat32, d};
    RETURN_IF_ERROR(Gemm(cublas, call, tiles.OfGemm(workspace)));
    return body(classes, DeviceSpan<const float>(products));
  });
}

// A warp takes the step of a row of w [D], which has its momentum and its
// product, (dy^T x)_j: the gradient by the normalised row. catch_up(&weight,
// &momentum) makes what is stored the row that the product belongs to.
// `element`: the row's first, of the logical w. The lanes have the row in
// registers, or, where kVectors is 0, read it twice, once from memory; 15
// operations per weight.
template <int kWidth, int kVectors, typename W, typename M, typename CatchUp>
__device__ inline void UpdateClass(const SgdStep& step, float eps,
                                   const DeviceSpan<const float>& product,
                                   const DeviceSpan<W>& weight,
                                   const DeviceSpan<M>& momentum,
                                   const RandomStream& rounding,
                                   int64_t element, const CatchUp& catch_up) {
  using Products = Vector<float, kWidth>;
  using Weights = Vector<W, kWidth>;
  using Momenta = Vector<M, kWidth>;
  float square = 0, dot = 0;
  auto add = [&](const Products& p, const Weights& stored, const Momenta& m) {
    for (int k = 0; k < kWidth; ++k) {
      float w = ToFloat(stored.element[k]), velocity = ToFloat(m.element[k]);
      catch_up(&w, &velocity);
      square += w * w;
      dot += w * p.element[k];
    }
  };
  RowNorm norm;
  float projection = 0;
  auto finish_sums = [&] {
    norm = RowNormOf(ReduceWarp(square, Sum{}), eps);
    projection = Projection(norm, ReduceWarp(dot, Sum{}));
  };
  auto update = [&](int64_t i, const Products& p, Weights w, Momenta m) {
    StepVectors<kWidth>(
        &w, &m, rounding, element + i,
        [&](float* value, float* velocity, int k) {
          catch_up(value, velocity);
          step(value, velocity,
               NormalizeGradient(p.element[k], *value, norm, projection));
        });
    weight.template StoreVector<kWidth>(i, w);
    momentum.template StoreVector<kWidth>(i, m);
  };
  auto load = [](const auto& span, int64_t i) {
    return span.template LoadVector<kWidth>(i);
  };
  if constexpr (kVectors > 0) {
    Products p[kVectors];
    Weights w[kVectors];
    Momenta m[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const int64_t i = RowVector<kWidth>(v);
      p[v] = load(product, i);
      w[v] = load(weight, i);
      m[v] = load(momentum, i);
    }
    for (int v = 0; v < kVectors; ++v) add(p[v], w[v], m[v]);
    finish_sums();
    for (int v = 0; v < kVectors; ++v) {
      update(RowVector<kWidth>(v), p[v], w[v], m[v]);
    }
  } else {
    ForRowVectors<kWidth>(product.size(), [&](int64_t i) {
      add(load(product, i), load(weight, i), load(momentum, i));
    });
    finish_sums();
    ForRowVectors<kWidth>(product.size(), [&](int64_t i) {
      update(i, load(product, i), load(weight, i), load(momentum, i));
    });
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_LINEAR_DEVICE_UPDATE_H_
