// The formulas of batch normalisation: by channel in double, from sums of
// `count` values, and by element in the tensor's vectors of float.
#ifndef FACET_OPS_BATCH_NORM_MOMENTS_H_
#define FACET_OPS_BATCH_NORM_MOMENTS_H_

#include <cmath>

#include "ops/host_device.h"

namespace facet::ops {

struct Moments {
  double mean = 0;
  double variance = 0;  // Biased.
};

FACET_HOST_DEVICE inline Moments MomentsOf(double sum, double square_sum,
                                           double count) {
  const double mean = sum / count;
  const double variance = square_sum / count - mean * mean;
  return {mean, 0.0 < variance ? variance : 0.0};
}

FACET_HOST_DEVICE inline double InverseStddev(double variance, double eps) {
  return 1.0 / std::sqrt(variance + eps);
}

// Moves the running statistics of a channel, as torch.nn.BatchNorm does: of
// the unbiased variance.
FACET_HOST_DEVICE inline void UpdateRunning(const Moments& moments,
                                            double count, double momentum,
                                            float* mean, float* variance) {
  *mean = static_cast<float>((1 - momentum) * *mean + momentum * moments.mean);
  *variance =
      static_cast<float>((1 - momentum) * *variance +
                         momentum * moments.variance * count / (count - 1));
}

// constants: mean, scale / sqrt(var + eps), bias. Not folded into one
// multiply-add: that would cancel where the mean is large. V: float, or a
// vector of floats.
template <typename V>
FACET_HOST_DEVICE V NormaliseValue(V x, const V* constants) {
  return (x - constants[0]) * constants[1] + constants[2];
}

// constants: mean, factor, factor * r * scale_grad / n, factor * bias_grad / n
// with r = 1 / sqrt(var + eps) and factor = scale * r.
template <typename V>
FACET_HOST_DEVICE V NormaliseGradient(V dy, V x, const V* constants) {
  const V centred = x - constants[0];
  return dy * constants[1] - centred * constants[2] - constants[3];
}

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_MOMENTS_H_
