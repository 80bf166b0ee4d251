// Per group: one bit per class, in the workspace; then the bits become rows.
// Blocks of classes are worked on in parallel and do not depend on threads.
#include <immintrin.h>

#include <bit>

#include "absl/strings/str_cat.h"
#include "ops/class_labels.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"
#include "ops/parallel.h"
#include "ops/random_batch.h"
#include "ops/sample_classes/sampling.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int64_t kBlock = 4096;  // Classes.
constexpr int64_t kWordsOfBlock = kBlock / 64;

int64_t Blocks(int64_t classes) { return (classes + kBlock - 1) / kBlock; }

// Bit i is set if words[i] < threshold.
uint64_t Below(const uint32_t* words, uint32_t threshold) {
  // AVX2 compares signed numbers only.
  const __m256i flip = _mm256_set1_epi32(static_cast<int>(0x80000000u));
  const __m256i limit =
      _mm256_set1_epi32(static_cast<int>(threshold ^ 0x80000000u));
  uint64_t bits = 0;
  for (int i = 0; i < 64; i += 8) {
    const __m256i eight =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i)) ^ flip;
    const __m256i below = _mm256_cmpgt_epi32(limit, eight);
    const auto mask =
        static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(below)));
    bits |= uint64_t{mask} << i;
  }
  return bits;
}

// The sample of one group of classes.
class GroupSample {
 public:
  static int64_t Bytes(int64_t classes) {
    return Blocks(classes) *
           static_cast<int64_t>(kWordsOfBlock * sizeof(uint64_t) +
                                sizeof(int64_t));
  }
  GroupSample(Range classes, void* workspace)
      : classes_(classes),
        blocks_(Blocks(classes.size())),
        bits_(static_cast<uint64_t*>(workspace)),
        before_(reinterpret_cast<int64_t*>(bits_ + blocks_ * kWordsOfBlock)) {}

  // Returns how many classes are sampled.
  int64_t Draw(const RandomStream& stream, double rate,
               const TensorView& labels) {
    const uint32_t threshold = SamplingThreshold(rate);
    ParallelFor(blocks_, 4, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) DrawBlock(stream, threshold, b);
    });
    for (int64_t i = 0; i < labels.shape()[0]; ++i) {
      const int64_t c = labels.as<int32_t>()[i] - classes_.begin;
      if (Has(c)) bits_[c / 64] |= uint64_t{1} << c % 64;
    }
    int64_t count = 0;
    for (int64_t b = 0; b < blocks_; ++b) {
      before_[b] = count;
      for (int64_t w = 0; w < kWordsOfBlock; ++w) {
        count += std::popcount(bits_[b * kWordsOfBlock + w]);
      }
    }
    return count;
  }

  bool Has(int64_t c) const { return c >= 0 && c < classes_.size(); }

  // The number of sampled classes below class c of the group.
  int64_t Position(int64_t c) const {
    const int64_t block = c / kBlock;
    int64_t position = before_[block];
    for (int64_t w = block * kWordsOfBlock; w < c / 64; ++w) {
      position += std::popcount(bits_[w]);
    }
    const uint64_t lower = (uint64_t{1} << c % 64) - 1;
    return position + std::popcount(bits_[c / 64] & lower);
  }

  void WriteRows(int32_t* rows) const {
    ParallelFor(blocks_, 4, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        int32_t* to = rows + before_[b];
        for (int64_t w = b * kWordsOfBlock; w < (b + 1) * kWordsOfBlock; ++w) {
          for (uint64_t bits = bits_[w]; bits != 0; bits &= bits - 1) {
            *to++ = static_cast<int32_t>(w * 64 + std::countr_zero(bits));
          }
        }
      }
    });
  }

 private:
  void DrawBlock(const RandomStream& stream, uint32_t threshold,
                 int64_t block) {
    uint32_t words[kBlock];
    const int64_t begin = block * kBlock;
    const int64_t count = std::min(kBlock, classes_.size() - begin);
    ForRandomBatches(
        classes_.begin + begin, count,
        [&](int64_t first, uint32_t* out) {
          FillRandomBatch(stream, first, out);
        },
        words);
    // No threshold is above the largest word.
    std::fill(words + count, words + kBlock, 0xFFFFFFFFu);
    for (int64_t w = 0; w < kWordsOfBlock; ++w) {
      bits_[block * kWordsOfBlock + w] = Below(words + w * 64, threshold);
    }
  }

  const Range classes_;
  const int64_t blocks_;
  uint64_t* const bits_;
  int64_t* const before_;  // By block: how many are sampled before it.
};

struct Sampling {
  int64_t classes = 0;
  int groups = 0;
  int64_t capacity = 0;
  double rate = 0;
  uint32_t key = 0;
};

absl::Status Sample(const Sampling& s, const KernelContext& context) {
  const TensorView& labels = context.inputs[0];
  RETURN_IF_ERROR(CheckLabels(labels, s.classes));
  const TensorView& rows = context.outputs[0];
  int32_t* positions = context.outputs[1].as<int32_t>();
  const int64_t batch = labels.shape()[0];
  std::fill(positions, positions + batch, 0);
  const RandomStream stream = {static_cast<uint64_t>(context.seed), s.key,
                               static_cast<uint32_t>(context.step)};
  for (int64_t local = 0; local < rows.shape()[0]; ++local) {
    const int64_t group = rows.slice.offset[0] + local;
    const Range classes =
        ShardRange(s.classes, s.groups, static_cast<int>(group));
    GroupSample sample(classes, context.workspace);
    const int64_t count = sample.Draw(stream, s.rate, labels);
    if (count > s.capacity) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "step ", context.step, ": ", count, " of the ", classes.size(),
          " classes of group ", group, " are sampled, but there is room for ",
          s.capacity, "; another --seed draws others"));
    }
    int32_t* to = rows.as<int32_t>() + local * s.capacity;
    sample.WriteRows(to);
    std::fill(to + count, to + s.capacity, -1);
    for (int64_t i = 0; i < batch; ++i) {
      const int64_t c = labels.as<int32_t>()[i] - classes.begin;
      if (!sample.Has(c)) continue;
      positions[i] =
          static_cast<int32_t>(group * s.capacity + sample.Position(c));
    }
  }
  return absl::OkStatus();
}

}  // namespace

KernelDef SampleClassesCpuKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    const int64_t classes = spec.attributes.Int("classes");
    const int64_t groups = spec.attributes.Int("groups");
    return GroupSample::Bytes((classes + groups - 1) / groups);
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    Sampling sampling;
    sampling.classes = spec.attributes.Int("classes");
    sampling.groups = static_cast<int>(spec.attributes.Int("groups"));
    sampling.capacity = spec.attributes.Int("capacity");
    sampling.rate = spec.attributes.Float("rate");
    sampling.key = static_cast<uint32_t>(spec.attributes.Int("key"));
    return Kernel([sampling](const KernelContext& context) {
      return Sample(sampling, context);
    });
  };
  return def;
}

}  // namespace facet::ops
