// The combined margin of one element (ArcFace, arXiv 1801.07698, eq. 4; values
// and gradients as in insightface's arcface_torch):
//
//   logit = scale * clamp(cos, -1, 1)
//   at the target: scale * (cos(m1 * theta + m2) - m3), theta = acos(cos)
//
// A cosine of -infinity is no cosine but a class that is masked out: so is its
// logit, and it has no gradient.
//
// Targets are computed in double: acos loses half of the digits near 1, and
// there is one per row.
#ifndef FACET_OPS_COMBINED_MARGIN_MARGIN_H_
#define FACET_OPS_COMBINED_MARGIN_MARGIN_H_

#include <cmath>

#include "ops/host_device.h"
#include "ops/kernel.h"

namespace facet::ops {

struct Margin {
  double m1 = 1, m2 = 0, m3 = 0;
  float scale = 1;
  // The true derivative at the target, instead of arcface_torch's, which lets
  // the gradient pass the margin unchanged.
  bool exact = false;
};

inline Margin MarginFromAttributes(const Attributes& attributes) {
  Margin margin;
  margin.m1 = attributes.Float("m1");
  margin.m2 = attributes.Float("m2");
  margin.m3 = attributes.Float("m3");
  margin.scale = static_cast<float>(attributes.Float("scale"));
  margin.exact = attributes.String("gradient") == "exact";
  return margin;
}

// Selections keep what is not a number. V: float, or a vector of floats.
template <typename V>
FACET_HOST_DEVICE V ClampCosine(V cosine) {
  const V one = V{} + 1.0f;
  const V below = cosine < -one ? -one : cosine;
  return below > one ? one : below;
}

template <typename V>
FACET_HOST_DEVICE V PlainLogit(V cosine, float scale) {
  const V lowest = V{} - INFINITY;
  return cosine == lowest ? lowest : ClampCosine(cosine) * scale;
}

// dlogit -> dcos for elements that are no target: 0 where the clamp cut.
template <typename V>
FACET_HOST_DEVICE V PlainGradient(V dlogit, V cosine, float scale) {
  const V one = V{} + 1.0f;
  const V gradient = dlogit * scale;
  const V cut_below = cosine < -one ? V{} : gradient;
  return cosine > one ? V{} : cut_below;
}

FACET_HOST_DEVICE inline float TargetLogit(float cosine, const Margin& margin) {
  const double theta = std::acos(static_cast<double>(ClampCosine(cosine)));
  return static_cast<float>(
      margin.scale * (std::cos(margin.m1 * theta + margin.m2) - margin.m3));
}

// d TargetLogit / d cosine, where the clamp does not cut.
FACET_HOST_DEVICE inline float TargetDerivative(float cosine,
                                                const Margin& margin) {
  if (!margin.exact) return margin.scale;
  // At +-1 the derivative is infinite; the nearest float's is taken.
  constexpr double kLargestBelowOne = 1 - 0x1p-24;
  double c = cosine;
  if (c > kLargestBelowOne) c = kLargestBelowOne;
  if (c < -kLargestBelowOne) c = -kLargestBelowOne;
  const double theta = std::acos(c);
  return static_cast<float>(margin.scale * margin.m1 *
                            std::sin(margin.m1 * theta + margin.m2) /
                            std::sqrt(1 - c * c));
}

FACET_HOST_DEVICE inline float TargetGradient(float dlogit, float cosine,
                                              const Margin& margin) {
  if (cosine < -1 || cosine > 1) return 0;
  return dlogit * TargetDerivative(cosine, margin);
}

}  // namespace facet::ops

#endif  // FACET_OPS_COMBINED_MARGIN_MARGIN_H_
