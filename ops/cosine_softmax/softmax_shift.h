// SoftmaxShift: what the exponents of a head's softmax are relative to, where
// its logits are not stored and nobody knows their maxima.
#ifndef FACET_OPS_COSINE_SOFTMAX_SOFTMAX_SHIFT_H_
#define FACET_OPS_COSINE_SOFTMAX_SOFTMAX_SHIFT_H_

namespace facet::ops {

// Logits of cosines lie between -scale and scale, but for a target's with a
// margin, which may be lower. With this scale exponents lie between -72 and 56:
// exp(-72) divides a gradient of 2^24 (loss scaling), and 2^31 times exp(56) is
// a sum, both within float32, whose exponentials reach from -87 to 88.
inline constexpr double kLargestShiftedScale = 64;

inline double SoftmaxShift(double scale) { return scale / 8; }

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_SOFTMAX_SOFTMAX_SHIFT_H_
