#include "runtime/data/image_folder.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <opencv2/core.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/random.h"
#include "ops/status_macros.h"
#include "runtime/data/photograph.h"

namespace facet::runtime {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kShuffleKey = 3;
constexpr uint32_t kViewKey = 4;

// "s2" before "s10": runs of digits compare as numbers.
bool NaturalLess(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  auto digits_end = [](const std::string& s, size_t from) {
    while (from < s.size() && absl::ascii_isdigit(s[from])) ++from;
    return from;
  };
  while (i < a.size() && j < b.size()) {
    if (!absl::ascii_isdigit(a[i]) || !absl::ascii_isdigit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    while (i + 1 < a.size() && a[i] == '0' && absl::ascii_isdigit(a[i + 1]))
      ++i;
    while (j + 1 < b.size() && b[j] == '0' && absl::ascii_isdigit(b[j + 1]))
      ++j;
    const size_t i_end = digits_end(a, i), j_end = digits_end(b, j);
    const std::string x = a.substr(i, i_end - i), y = b.substr(j, j_end - j);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    i = i_end, j = j_end;
  }
  if (i < a.size() || j < b.size()) return j < b.size();
  return a < b;  // "01" and "1": any order that is always the same.
}

bool IsPhotographName(const std::string& name) {
  const std::string ending =
      absl::AsciiStrToLower(fs::path(name).extension().string());
  return ending == ".pgm" || ending == ".ppm" || ending == ".png" ||
         ending == ".jpg" || ending == ".jpeg";
}

// Names in a directory, naturally ordered.
absl::StatusOr<std::vector<std::string>> List(const fs::path& directory,
                                              bool directories) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored) == directories) {
      names.push_back(it->path().filename().string());
    }
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot read the data folder ",
                                            directory.string(), ": ",
                                            error.message()));
  }
  std::sort(names.begin(), names.end(), NaturalLess);
  return names;
}

class FolderSource : public ops::DataSource {
 public:
  FolderSource(std::vector<Photograph> photographs,
               const FolderSourceOptions& options)
      : photographs_(std::move(photographs)),
        options_(options),
        cache_(photographs_.size()) {}

  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    const auto count = static_cast<int64_t>(photographs_.size());
    const ops::RandomStream views = {static_cast<uint64_t>(options_.seed),
                                     kViewKey, static_cast<uint32_t>(step)};
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = step * options_.batch_size + i;
      int64_t index = position % count;
      PhotographView view;
      if (options_.training) {
        index = Permutation(position / count, index);
        view = RandomView(ops::RandomBlock(views, i));
      }
      ASSIGN_OR_RETURN(const cv::Mat image, Get(index));
      NormalizePhotograph(image, view, images);
      images += kPhotographPixels;
      *labels++ = photographs_[index].person;
    }
    return absl::OkStatus();
  }

 private:
  PhotographView RandomView(const ops::PhiloxBlock& random) const {
    const uint64_t shifts = 2 * options_.max_shift + 1;
    auto shift = [&](uint32_t word) {
      return static_cast<int>(word * shifts >> 32) - options_.max_shift;
    };
    return {.flip = (random.word[0] & 1) != 0,
            .shift_x = shift(random.word[1]),
            .shift_y = shift(random.word[2])};
  }

  // Photograph number `index` of the shuffled epoch.
  int64_t Permutation(int64_t epoch, int64_t index) {
    std::lock_guard<std::mutex> lock(mutex_);
    // Two epochs: devices that work ahead may be in the next one.
    Epoch& slot = epochs_[epoch % 2];
    if (slot.number != epoch) {
      slot.number = epoch;
      slot.order.resize(photographs_.size());
      for (size_t i = 0; i < slot.order.size(); ++i) {
        slot.order[i] = static_cast<int32_t>(i);
      }
      const ops::RandomStream words = {static_cast<uint64_t>(options_.seed),
                                       kShuffleKey,
                                       static_cast<uint32_t>(epoch)};
      // Fisher and Yates.
      for (size_t i = slot.order.size() - 1; i > 0; --i) {
        const uint64_t word = ops::RandomWord(words, i);
        std::swap(slot.order[i], slot.order[(word * (i + 1)) >> 32]);
      }
    }
    return slot.order[index];
  }

  absl::StatusOr<cv::Mat> Get(int64_t index) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!cache_[index].empty()) return cache_[index];
    }
    // Decoding is outside the lock; two devices may decode the same one.
    ASSIGN_OR_RETURN(cv::Mat image, DecodePhotograph(photographs_[index].path));
    std::lock_guard<std::mutex> lock(mutex_);
    if (cached_bytes_ + kPhotographPixels <= options_.cache_bytes &&
        cache_[index].empty()) {
      cached_bytes_ += kPhotographPixels;
      cache_[index] = image;
    }
    return image;
  }

  struct Epoch {
    int64_t number = -1;
    std::vector<int32_t> order;
  };

  const std::vector<Photograph> photographs_;
  const FolderSourceOptions options_;
  std::mutex mutex_;
  Epoch epochs_[2];             // Guarded by mutex_, as are the next two.
  std::vector<cv::Mat> cache_;  // By photograph; 8-bit, empty if not cached.
  int64_t cached_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ImageFolder> ScanImageFolder(const std::string& path) {
  cv::setNumThreads(
      1);  // The data stream's thread decodes; no team of its own.
  ASSIGN_OR_RETURN(const std::vector<std::string> people,
                   List(path, /*directories=*/true));
  ImageFolder folder;
  for (const std::string& person : people) {
    ASSIGN_OR_RETURN(const std::vector<std::string> files,
                     List(fs::path(path) / person, /*directories=*/false));
    const auto index = static_cast<int32_t>(folder.people.size());
    bool any = false;
    for (const std::string& file : files) {
      if (!IsPhotographName(file)) continue;
      const std::string full = (fs::path(path) / person / file).string();
      const absl::StatusOr<cv::Mat> image = DecodePhotograph(full);
      if (!image.ok()) {
        LOG(WARNING) << "skipped: " << image.status().message();
        folder.unreadable.push_back(std::string(image.status().message()));
        continue;
      }
      folder.photographs.push_back({full, index});
      any = true;
    }
    if (any) {
      folder.people.push_back(person);
    } else {
      LOG(WARNING) << "skipped: " << (fs::path(path) / person).string()
                   << " has no readable photograph";
    }
  }
  if (!folder.unreadable.empty()) {
    LOG(WARNING) << folder.unreadable.size() << " unreadable photographs in "
                 << path << " were skipped";
  }
  if (folder.photographs.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no readable photograph in ", path, " (", people.size(),
        " sub-folders, ", folder.unreadable.size(),
        " unreadable files): expected one sub-folder per person with .pgm, "
        ".png or .jpg files"));
  }
  return folder;
}

absl::StatusOr<std::unique_ptr<ops::DataSource>> CreateFolderSource(
    std::vector<Photograph> photographs, const FolderSourceOptions& options) {
  if (photographs.empty()) {
    return absl::InvalidArgumentError("no photographs to read");
  }
  if (options.batch_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch size ", options.batch_size, " is not positive"));
  }
  if (options.max_shift < 0 || options.max_shift >= kPhotographSide) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shift of ", options.max_shift, " pixels; use 0 to ",
                     kPhotographSide - 1));
  }
  return std::make_unique<FolderSource>(std::move(photographs), options);
}

}  // namespace facet::runtime
