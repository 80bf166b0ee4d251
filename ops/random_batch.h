// Random numbers for many elements at once, on the CPU: the values of random.h
// at vector speed.
#ifndef FACET_OPS_RANDOM_BATCH_H_
#define FACET_OPS_RANDOM_BATCH_H_

#include <algorithm>
#include <cstdint>

#include "ops/random.h"

namespace facet::ops {

// Elements are worked on in aligned batches of this size.
inline constexpr int kRandomBatch = 128;

// out[e] = RandomWord(stream, first + e) for e < kRandomBatch. `first` must be
// a multiple of kRandomBatch.
void FillRandomBatch(const RandomStream& stream, int64_t first, uint32_t* out);

// out[e] = RandomNormal(stream, first + e) * stddev + mean, likewise.
void FillNormalBatch(const RandomStream& stream, int64_t first, float mean,
                     float stddev, float* out);

// out[e] = UniformFloat(RandomWord(stream, first + e)) * width + low, likewise.
void FillUniformBatch(const RandomStream& stream, int64_t first, float low,
                      float width, float* out);

// Calls batch(first, values) for the aligned batches that cover elements
// [begin, begin + count) and puts what is asked for into out[0, count). T is
// the type of the values.
template <typename T, typename Batch>
void ForRandomBatches(int64_t begin, int64_t count, const Batch& batch,
                      T* out) {
  const int64_t end = begin + count;
  for (int64_t first = begin - begin % kRandomBatch; first < end;
       first += kRandomBatch) {
    if (first >= begin && first + kRandomBatch <= end) {
      batch(first, out + (first - begin));
      continue;
    }
    T values[kRandomBatch];
    batch(first, values);
    const int64_t from = std::max(first, begin);
    const int64_t to = std::min(first + kRandomBatch, end);
    std::copy(values + (from - first), values + (to - first),
              out + (from - begin));
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_RANDOM_BATCH_H_
