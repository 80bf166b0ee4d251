// The plain definitions of the batch norm ops in float64, and cases to compare
// them on: for the tests of all that contain one.
#ifndef FACET_OPS_BATCH_NORM_REFERENCE_H_
#define FACET_OPS_BATCH_NORM_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "ops/graph/shard.h"
#include "ops/testing/op_test.h"

namespace facet::ops::batch_norm_reference {

inline TensorType Float32(Shape shape) {
  return {DataType::kFloat32, std::move(shape)};
}

// Calls f(i, index into [G, C], channel, n) for every element i of x, where n
// is the number of values in its group and channel.
template <typename F>
void ForEachElement(const Shape& x, int64_t groups, const F& f) {
  const int64_t spatial = x.num_elements(2, x.rank());
  for (int64_t g = 0; g < groups; ++g) {
    const Range rows =
        ShardRange(x[0], static_cast<int>(groups), static_cast<int>(g));
    const double n = static_cast<double>(rows.size() * spatial);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t c = 0; c < x[1]; ++c) {
        for (int64_t p = 0; p < spatial; ++p) {
          f((row * x[1] + c) * spatial + p, g * x[1] + c, c, n);
        }
      }
    }
  }
}

inline std::vector<Values> Statistics(const Shape& shape, int64_t groups,
                                      const Values& x) {
  Values sum(groups * shape[1]), square_sum(groups * shape[1]);
  ForEachElement(shape, groups, [&](int64_t i, int64_t s, int64_t, double) {
    sum[s] += x[i];
    square_sum[s] += x[i] * x[i];
  });
  return {sum, square_sum};
}

struct Normal {
  double mean, r, xhat;
};
inline Normal Normalise(double x, double sum, double square_sum, double n,
                        double eps) {
  const double mean = sum / n;
  const double variance = std::max(0.0, square_sum / n - mean * mean);
  const double r = 1 / std::sqrt(variance + eps);
  return {mean, r, (x - mean) * r};
}

inline std::vector<Values> StatisticsReference(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& in) {
  return Statistics(types[0].shape, attributes.Int("groups"), in[0]);
}

inline std::vector<Values> BatchNormReference(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& in) {
  Values y(in[0].size());
  ForEachElement(types[0].shape, attributes.Int("groups"),
                 [&](int64_t i, int64_t s, int64_t c, double n) {
                   const Normal normal = Normalise(in[0][i], in[1][s], in[2][s],
                                                   n, attributes.Float("eps"));
                   y[i] = normal.xhat * in[3][c] + in[4][c];
                 });
  return {y};
}

inline std::vector<Values> GradStatisticsReference(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& in) {
  Values bias_grad(in[2].size()), scale_grad(in[2].size());
  ForEachElement(types[1].shape, attributes.Int("groups"),
                 [&](int64_t i, int64_t s, int64_t, double n) {
                   bias_grad[s] += in[0][i];
                   scale_grad[s] +=
                       in[0][i] * Normalise(in[1][i], in[2][s], in[3][s], n,
                                            attributes.Float("eps"))
                                      .xhat;
                 });
  return {bias_grad, scale_grad};
}

inline std::vector<Values> GradInputReference(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& in) {
  Values dx(in[0].size());
  ForEachElement(types[1].shape, attributes.Int("groups"),
                 [&](int64_t i, int64_t s, int64_t c, double n) {
                   const Normal normal = Normalise(in[1][i], in[2][s], in[3][s],
                                                   n, attributes.Float("eps"));
                   dx[i] =
                       in[4][c] * normal.r *
                       (in[0][i] - in[5][s] / n - normal.xhat * in[6][s] / n);
                 });
  return {dx};
}

struct Case {
  Shape shape;
  int64_t groups;
};

inline std::vector<Case> Cases() {
  return {{{4, 3, 5, 7}, 1},  {{5, 16, 9, 11}, 1}, {{5, 16, 9, 11}, 3},
          {{3, 24, 1, 1}, 1}, {{2, 8, 40, 33}, 2}, {{9, 13}, 1},
          {{33, 64}, 4},      {{700, 10}, 2},      {{7, 48, 7, 7}, 1}};
}

// The inputs from `first` on are the statistics of input `x`.
inline std::function<void(std::vector<Values>*)> DeriveStatistics(const Case& c,
                                                                  int x,
                                                                  int first) {
  return [c, x, first](std::vector<Values>* inputs) {
    std::vector<Values> sums = Statistics(c.shape, c.groups, (*inputs)[x]);
    (*inputs)[first] = sums[0];
    (*inputs)[first + 1] = sums[1];
  };
}

inline Attributes Groups(const Case& c) { return {{"groups", c.groups}}; }

}  // namespace facet::ops::batch_norm_reference

#endif  // FACET_OPS_BATCH_NORM_REFERENCE_H_
