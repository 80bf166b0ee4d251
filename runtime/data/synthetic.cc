#include "runtime/data/synthetic.h"

#include "absl/strings/str_cat.h"
#include "ops/random.h"

namespace facet::runtime {
namespace {

constexpr int64_t kPixels = int64_t{3} * 112 * 112;
// Apart from the keys of variables and dropout, which are hashes of names.
constexpr uint32_t kImageKey = 1;
constexpr uint32_t kLabelKey = 2;

class SyntheticSource : public ops::DataSource {
 public:
  explicit SyntheticSource(const SyntheticOptions& options)
      : options_(options) {}

  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    const uint64_t seed = static_cast<uint64_t>(options_.seed);
    const ops::RandomStream pixels = {seed, kImageKey,
                                      static_cast<uint32_t>(step)};
    const ops::RandomStream choices = {seed, kLabelKey,
                                       static_cast<uint32_t>(step)};
    for (int64_t i = begin; i < end; ++i) {
      // Four pixels per block of random words; kPixels is a multiple of four.
      for (int64_t p = 0; p < kPixels; p += 4) {
        const ops::PhiloxBlock block =
            ops::RandomBlock(pixels, (i * kPixels + p) / 4);
        for (int k = 0; k < 4; ++k) {
          *images++ = 2 * ops::UniformFloat(block.word[k]) - 1;
        }
      }
      // The high part of a 64-bit product: uniform over the classes.
      const uint64_t word = ops::RandomWord(choices, i);
      const auto label = static_cast<int32_t>(
          (word * static_cast<uint64_t>(options_.classes)) >> 32);
      *labels++ = options_.constant_label ? 1 : label;
    }
    return absl::OkStatus();
  }

 private:
  const SyntheticOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ops::DataSource>> CreateSyntheticSource(
    const SyntheticOptions& options) {
  if (options.classes < 2 || options.classes > INT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("synthetic data for ", options.classes,
                     " classes: use 2 to ", INT32_MAX));
  }
  return std::make_unique<SyntheticSource>(options);
}

}  // namespace facet::runtime
