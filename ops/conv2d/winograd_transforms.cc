#include "ops/conv2d/winograd_transforms.h"

#include <cstring>

// Compiled once per instruction set, as ops/panel_product.cc is.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/conv2d/winograd_transforms.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "ops/conv2d/winograd_tile-inl.h"
#include "ops/float8.h"
#include "ops/panel_product.h"
#include "ops/parallel.h"
#include "ops/transpose.h"

HWY_BEFORE_NAMESPACE();
namespace facet::ops::winograd {
namespace HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3
using Widest = float __attribute__((vector_size(64)));

HWY_INLINE Widest Join(Float8 low, Float8 high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
HWY_INLINE Float8 HighHalf(Widest v) { return _mm512_extractf32x8_ps(v, 1); }
HWY_INLINE Float8 LowHalf(Widest v) { return _mm512_castps512_ps256(v); }

HWY_INLINE void LoadLanes(const float* from, Widest* to) {
  std::memcpy(to, from, sizeof(*to));
}
template <typename Half>
HWY_INLINE void LoadLanes(const Half* from, Widest* to) {
  *to = Join(Load<Float8>(from), Load<Float8>(from + 8));
}
HWY_INLINE void StoreLanes(const Widest& from, float* to) {
  std::memcpy(to, &from, sizeof(from));
}
template <typename Half>
HWY_INLINE void StoreLanes(const Widest& from, Half* to) {
  Store(to, LowHalf(from));
  Store(to + 8, HighHalf(from));
}
#else
using Widest = Float8;
#endif

template <typename T>
HWY_INLINE void LoadLanes(const T* from, Float8* to) {
  *to = Load<Float8>(from);
}
template <typename T>
HWY_INLINE void StoreLanes(const Float8& from, T* to) {
  Store(to, from);
}

// body(tile - first, its position, c) for the tiles of a batch and every so
// many channels from c.
template <int64_t kLane, typename Body>
HWY_INLINE void ForEachTile(const TileBatch& batch, const Body& body) {
  const Tiling& t = batch.tiling;
  const int64_t groups = t.channels / kLane;
  ParallelFor(batch.count * groups, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = i / groups;
      body(tile, Position(t, batch.first + tile), i % groups * kLane);
    }
  });
}

// A square of pixels of a vector's channels, zero outside of the image.
template <int kSide, typename T, typename V>
HWY_INLINE void LoadSquare(const T* images, const Tiling& t, int64_t image,
                           int64_t c, int64_t top, int64_t left,
                           V (&square)[kSide][kSide]) {
  const T* base = images + t.Offset(image, c, 0, 0);
  const bool inside = top >= 0 && left >= 0 && top + kSide <= t.height &&
                      left + kSide <= t.width;
  for (int i = 0; i < kSide; ++i) {
    const T* row = base + ((top + i) * t.width + left) * t.block;
    if (inside) {
      for (int j = 0; j < kSide; ++j) {
        LoadLanes(row + j * t.block, &square[i][j]);
      }
      continue;
    }
    const bool has_row = top + i >= 0 && top + i < t.height;
    for (int j = 0; j < kSide; ++j) {
      square[i][j] = V{};
      if (has_row && left + j >= 0 && left + j < t.width) {
        LoadLanes(row + j * t.block, &square[i][j]);
      }
    }
  }
}

template <typename T, typename V>
HWY_INLINE void StoreSquare(const V (&square)[kResult][kResult],
                            const Tiling& t, const Position& at, int64_t c,
                            T* images) {
  T* base = images + t.Offset(at.image, c, at.y, at.x);
  const int64_t rows = std::min<int64_t>(kResult, t.height - at.y);
  const int64_t columns = std::min<int64_t>(kResult, t.width - at.x);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      StoreLanes(square[i][j], base + (i * t.width + j) * t.block);
    }
  }
}

template <typename V>
HWY_INLINE void StoreProducts(const V (&products)[kTile][kTile],
                              int64_t distance, float* to) {
  for (int p = 0; p < kProducts; ++p) {
    StoreLanes(products[p / kTile][p % kTile], to + p * distance);
  }
}

template <typename V>
HWY_INLINE void LoadProducts(const float* from, int64_t distance,
                             V (&products)[kTile][kTile]) {
  for (int p = 0; p < kProducts; ++p) {
    LoadLanes(from + p * distance, &products[p / kTile][p % kTile]);
  }
}

template <typename V>
inline constexpr int64_t kLanesOf = sizeof(V) / sizeof(float);

template <typename V, typename T>
void SourceLoop(const T* images, const TileBatch& batch, float* out) {
  const Tiling& t = batch.tiling;
  ForEachTile<kLanesOf<V>>(
      batch, [&](int64_t tile, const Position& at, int64_t c) HWY_ATTR {
        V square[kTile][kTile], transformed[kTile][kTile];
        LoadSquare(images, t, at.image, c, at.y - 1, at.x - 1, square);
        Apply2d<InputTransform>(square, transformed);
        StoreProducts(transformed, batch.distance, out + tile * t.channels + c);
      });
}

template <typename V, typename T>
void ResultLoop(const float* in, const TileBatch& batch, T* images) {
  const Tiling& t = batch.tiling;
  ForEachTile<kLanesOf<V>>(
      batch, [&](int64_t tile, const Position& at, int64_t c) HWY_ATTR {
        V products[kTile][kTile], square[kResult][kResult];
        LoadProducts(in + tile * t.channels + c, batch.distance, products);
        Apply2d<ResultTransform>(products, square);
        StoreSquare(square, t, at, c, images);
      });
}

template <typename V, typename T>
void ResultGradientLoop(const T* images, const TileBatch& batch, float* out) {
  const Tiling& t = batch.tiling;
  ForEachTile<kLanesOf<V>>(
      batch, [&](int64_t tile, const Position& at, int64_t c) HWY_ATTR {
        V square[kResult][kResult], transformed[kTile][kTile];
        LoadSquare(images, t, at.image, c, at.y, at.x, square);
        Apply2d<ResultGradientTransform>(square, transformed);
        StoreProducts(
            transformed, batch.distance,
            out + (c / kPanel * batch.count + tile) * kPanel + c % kPanel);
      });
}

// body(V{}, T{}) with the widest vector that a block of channels fills, and the
// images' element type.
template <typename Body>
HWY_INLINE void Visit(const Tiling& t, const Body& body) {
  VisitFloating(t.dtype, [&](auto element) HWY_ATTR {
    if (t.block % kLanesOf<Widest> == 0) {
      body.template operator()<Widest, decltype(element)>();
    } else {
      body.template operator()<Float8, decltype(element)>();
    }
  });
}

void SourceImpl(const void* images, const TileBatch& batch, float* out) {
  Visit(batch.tiling, [&]<typename V, typename T>() HWY_ATTR {
    SourceLoop<V>(static_cast<const T*>(images), batch, out);
  });
}

void ResultImpl(const float* in, const TileBatch& batch, void* images) {
  Visit(batch.tiling, [&]<typename V, typename T>() HWY_ATTR {
    ResultLoop<V>(in, batch, static_cast<T*>(images));
  });
}

void ResultGradientImpl(const void* images, const TileBatch& batch,
                        float* out) {
  Visit(batch.tiling, [&]<typename V, typename T>() HWY_ATTR {
    ResultGradientLoop<V>(static_cast<const T*>(images), batch, out);
  });
}

// The kernels of 8 results, an element of each in a vector. In memory a
// result's elements are neighbours: eight of them are loaded as they are.
template <typename T>
HWY_INLINE void LoadKernels(const T* from, const KernelView& view,
                            Float8 (&kernel)[kKernel][kKernel]) {
  constexpr int kLast = kKernel * kKernel - 1;
  Float8 elements[kLast];
  for (int l = 0; l < 8; ++l) {
    elements[l] = Load<Float8>(from + l * view.result_stride);
  }
  Transpose(elements);
  Float8 last;
  for (int l = 0; l < 8; ++l) {
    last[l] = static_cast<float>(from[l * view.result_stride + kLast]);
  }
  for (int e = 0; e <= kLast; ++e) {
    const int at = view.turned ? kLast - e : e;
    kernel[at / kKernel][at % kKernel] = e < kLast ? elements[e] : last;
  }
}

template <typename T>
HWY_INLINE void StoreKernels(const Float8 (&kernel)[kKernel][kKernel],
                             const KernelView& view, T* to) {
  constexpr int kLast = kKernel * kKernel - 1;
  Float8 elements[kLast];
  for (int e = 0; e < kLast; ++e) {
    elements[e] = kernel[e / kKernel][e % kKernel];
  }
  Transpose(elements);
  const Float8 last = kernel[kKernel - 1][kKernel - 1];
  for (int l = 0; l < 8; ++l) {
    Store(to + l * view.result_stride, elements[l]);
    to[l * view.result_stride + kLast] = static_cast<T>(last[l]);
  }
}

#if HWY_TARGET <= HWY_AVX3
// Of 16 results.
template <typename T>
HWY_INLINE void LoadKernels(const T* from, const KernelView& view,
                            Widest (&kernel)[kKernel][kKernel]) {
  Float8 low[kKernel][kKernel], high[kKernel][kKernel];
  LoadKernels(from, view, low);
  LoadKernels(from + 8 * view.result_stride, view, high);
  for (int i = 0; i < kKernel; ++i) {
    for (int j = 0; j < kKernel; ++j) {
      kernel[i][j] = Join(low[i][j], high[i][j]);
    }
  }
}

template <typename T>
HWY_INLINE void StoreKernels(const Widest (&kernel)[kKernel][kKernel],
                             const KernelView& view, T* to) {
  Float8 low[kKernel][kKernel], high[kKernel][kKernel];
  for (int i = 0; i < kKernel; ++i) {
    for (int j = 0; j < kKernel; ++j) {
      low[i][j] = LowHalf(kernel[i][j]);
      high[i][j] = HighHalf(kernel[i][j]);
    }
  }
  StoreKernels(low, view, to);
  StoreKernels(high, view, to + 8 * view.result_stride);
}
#endif

// body(offset in panels, offset in w) for every vector of results of a source
// channel.
template <typename Body>
HWY_INLINE void ForEachKernels(const KernelBlock& block, const Body& body) {
  const KernelView& view = block.view;
  ParallelFor(block.count * view.sources, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / view.sources, source = i % view.sources;
      for (int64_t l = 0; l < kPanel; l += kLanesOf<Widest>) {
        const int64_t result = (block.first + panel) * kPanel + l;
        body(view.PanelOffset(panel, source) + l,
             source * view.source_stride + result * view.result_stride);
      }
    }
  });
}

void KernelsImpl(DataType dtype, const void* w, const KernelBlock& block,
                 float* out) {
  VisitFloating(dtype, [&](auto element) HWY_ATTR {
    const auto* from = static_cast<const decltype(element)*>(w);
    ForEachKernels(block, [&](int64_t in_panels, int64_t in_w) HWY_ATTR {
      Widest kernel[kKernel][kKernel], transformed[kTile][kTile];
      LoadKernels(from + in_w, block.view, kernel);
      Apply2d<KernelTransform>(kernel, transformed);
      StoreProducts(transformed, block.distance, out + in_panels);
    });
  });
}

void KernelGradientsImpl(const float* in, const KernelBlock& block,
                         DataType dtype, void* w) {
  VisitFloating(dtype, [&](auto element) HWY_ATTR {
    auto* to = static_cast<decltype(element)*>(w);
    ForEachKernels(block, [&](int64_t in_panels, int64_t in_w) HWY_ATTR {
      Widest products[kTile][kTile], kernel[kKernel][kKernel];
      LoadProducts(in + in_panels, block.distance, products);
      Apply2d<KernelGradientTransform>(products, kernel);
      StoreKernels(kernel, block.view, to + in_w);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace facet::ops::winograd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace facet::ops::winograd {

HWY_EXPORT(SourceImpl);
HWY_EXPORT(ResultImpl);
HWY_EXPORT(ResultGradientImpl);
HWY_EXPORT(KernelsImpl);
HWY_EXPORT(KernelGradientsImpl);

void TransformSource(const void* images, const TileBatch& batch, float* out) {
  HWY_DYNAMIC_DISPATCH(SourceImpl)(images, batch, out);
}

void TransformResult(const float* in, const TileBatch& batch, void* images) {
  HWY_DYNAMIC_DISPATCH(ResultImpl)(in, batch, images);
}

void TransformResultGradient(const void* images, const TileBatch& batch,
                             float* out) {
  HWY_DYNAMIC_DISPATCH(ResultGradientImpl)(images, batch, out);
}

int64_t KernelView::PanelOffset(int64_t panel, int64_t source) const {
  return (panel * sources + source) * kPanel;
}

void TransformKernels(DataType dtype, const void* w, const KernelBlock& block,
                      float* out) {
  HWY_DYNAMIC_DISPATCH(KernelsImpl)(dtype, w, block, out);
}

void TransformKernelGradients(const float* in, const KernelBlock& block,
                              DataType dtype, void* w) {
  HWY_DYNAMIC_DISPATCH(KernelGradientsImpl)(in, block, dtype, w);
}

}  // namespace facet::ops::winograd
#endif  // HWY_ONCE
