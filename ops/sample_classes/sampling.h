// Which classes take part in a step (Partial FC, arXiv 2203.15565):
//
//   class c is sampled if  label of an image == c,
//                      or  word(seed, key, step, c) < rate * 2^32
//
// A pure function of the numbers of the run, so that any number of devices
// samples the same. The random negatives are Bernoulli trials, not a draw of
// exactly rate * C of them: their number varies by some sqrt(rate * C), and no
// device needs to know what another has drawn.
#ifndef FACET_OPS_SAMPLE_CLASSES_SAMPLING_H_
#define FACET_OPS_SAMPLE_CLASSES_SAMPLING_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace facet::ops {

// Words below this are sampled. 0 <= rate < 1.
inline uint32_t SamplingThreshold(double rate) {
  return static_cast<uint32_t>(std::ldexp(rate, 32));
}

// Room for the sampled classes of a group of `classes` when the batch has
// `batch_size` images: all positives, and as many negatives as are exceeded
// with a probability below 1e-13 (8 standard deviations; Bernstein's bound for
// small expectations, where the tail is Poisson's).
inline int64_t SampleCapacity(int64_t classes, double rate,
                              int64_t batch_size) {
  constexpr double kDeviations = 8;
  const double mean = rate * static_cast<double>(classes);
  const double variance = mean * (1 - rate);
  // exp(-t^2 / (2 (variance + t / 3))) <= exp(-kDeviations^2 / 2).
  const double half_square = kDeviations * kDeviations / 2;
  const double above =
      half_square / 3 +
      std::sqrt(half_square * half_square / 9 + 2 * half_square * variance);
  const auto negatives =
      rate == 0 ? int64_t{0} : static_cast<int64_t>(std::ceil(mean + above));
  return std::min(classes, negatives + std::min(batch_size, classes));
}

}  // namespace facet::ops

#endif  // FACET_OPS_SAMPLE_CLASSES_SAMPLING_H_
