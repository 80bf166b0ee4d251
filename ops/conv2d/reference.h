// The plain definitions of convolutions in float64: for the tests of all that
// contain one.
#ifndef FACET_OPS_CONV2D_REFERENCE_H_
#define FACET_OPS_CONV2D_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "ops/may_round_attribute.h"
#include "ops/testing/op_test.h"

namespace facet::ops::conv2d_reference {

struct Sizes {
  int64_t batch, channels, height, width;
  int64_t outputs, kernel_height, kernel_width;
  int64_t stride, padding;

  int64_t out_height() const {
    return (height + 2 * padding - kernel_height) / stride + 1;
  }
  int64_t out_width() const {
    return (width + 2 * padding - kernel_width) / stride + 1;
  }
  TensorType x() const {
    return {DataType::kFloat32, {batch, channels, height, width}};
  }
  TensorType w() const {
    return {DataType::kFloat32,
            {outputs, channels, kernel_height, kernel_width}};
  }
  TensorType y() const {
    return {DataType::kFloat32, {batch, outputs, out_height(), out_width()}};
  }
  Attributes attributes() const {
    return {{"stride", stride}, {"padding", padding}, {kMayRound, false}};
  }
  Attributes grad_input_attributes() const {
    Attributes result = attributes();
    result.Set("height", height);
    result.Set("width", width);
    return result;
  }
  Attributes grad_weight_attributes() const {
    Attributes result = attributes();
    result.Set("kernel_height", kernel_height);
    result.Set("kernel_width", kernel_width);
    return result;
  }
};

// Calls f(index into x, into w, into y) for every multiply-add.
template <typename F>
void ForEachProduct(const Sizes& s, const F& f) {
  const int64_t oh = s.out_height(), ow = s.out_width();
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t o = 0; o < s.outputs; ++o)
      for (int64_t c = 0; c < s.channels; ++c)
        for (int64_t i = 0; i < oh; ++i)
          for (int64_t j = 0; j < ow; ++j)
            for (int64_t kh = 0; kh < s.kernel_height; ++kh)
              for (int64_t kw = 0; kw < s.kernel_width; ++kw) {
                const int64_t h = i * s.stride - s.padding + kh;
                const int64_t w = j * s.stride - s.padding + kw;
                if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
                f(((n * s.channels + c) * s.height + h) * s.width + w,
                  ((o * s.channels + c) * s.kernel_height + kh) *
                          s.kernel_width +
                      kw,
                  ((n * s.outputs + o) * oh + i) * ow + j);
              }
}

inline Reference Forward(const Sizes& s) {
  return [s](const Attributes&, const std::vector<TensorType>&,
             const std::vector<Values>& inputs) {
    Values y(s.y().shape.num_elements());
    ForEachProduct(s, [&](int64_t x, int64_t w, int64_t out) {
      y[out] += inputs[0][x] * inputs[1][w];
    });
    return std::vector<Values>{y};
  };
}

inline Reference GradInput(const Sizes& s) {
  return [s](const Attributes&, const std::vector<TensorType>&,
             const std::vector<Values>& inputs) {
    Values dx(s.x().shape.num_elements());
    ForEachProduct(s, [&](int64_t x, int64_t w, int64_t out) {
      dx[x] += inputs[0][out] * inputs[1][w];
    });
    return std::vector<Values>{dx};
  };
}

inline Reference GradWeight(const Sizes& s) {
  return [s](const Attributes&, const std::vector<TensorType>&,
             const std::vector<Values>& inputs) {
    Values dw(s.w().shape.num_elements());
    ForEachProduct(s, [&](int64_t x, int64_t w, int64_t out) {
      dw[w] += inputs[0][x] * inputs[1][out];
    });
    return std::vector<Values>{dw};
  };
}

}  // namespace facet::ops::conv2d_reference

#endif  // FACET_OPS_CONV2D_REFERENCE_H_
