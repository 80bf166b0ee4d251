#include "runtime/data/image_folder.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/random.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 112;
constexpr int64_t kPlane = int64_t{kSide} * kSide;
constexpr int64_t kPixels = 3 * kPlane;
constexpr uint32_t kShuffleKey = 3;
constexpr uint32_t kFlipKey = 4;

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

// Decoders fill up what is missing of a truncated JPEG or PGM with grey and
// say nothing to the caller; a training set with such images should not pass.
absl::Status CheckComplete(const std::vector<char>& bytes) {
  const size_t size = bytes.size();
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (size == 0) return absl::DataLossError("empty file");
  if (size > 3 && data[0] == 0xFF && data[1] == 0xD8) {
    // The end-of-image marker, perhaps followed by padding.
    constexpr char kEnd[] = {static_cast<char>(0xFF), static_cast<char>(0xD9)};
    const auto from = bytes.end() - std::min<size_t>(size, 4096);
    if (std::search(from, bytes.end(), kEnd, kEnd + 2) == bytes.end()) {
      return absl::DataLossError("truncated JPEG");
    }
  }
  if (size > 2 && data[0] == 'P' && (data[1] == '5' || data[1] == '6')) {
    // "P5 <width> <height> <maximum> <raster>", comments from # to line end.
    int64_t numbers[3] = {0, 0, 0};
    size_t at = 2;
    for (int64_t& number : numbers) {
      while (at < size && (isspace(data[at]) || data[at] == '#')) {
        if (data[at] == '#') {
          while (at < size && data[at] != '\n') ++at;
        } else {
          ++at;
        }
      }
      while (at < size && isdigit(data[at]) && number < (1 << 20)) {
        number = number * 10 + (data[at++] - '0');
      }
    }
    const int64_t raster = numbers[0] * numbers[1] * (data[1] == '6' ? 3 : 1) *
                           (numbers[2] > 255 ? 2 : 1);
    if (static_cast<int64_t>(size - std::min(size, at + 1)) < raster) {
      return absl::DataLossError("truncated PGM/PPM");
    }
  }
  return absl::OkStatus();
}

// Decoded and scaled: kSide x kSide, 8 bits, blue green red.
absl::StatusOr<cv::Mat> Decode(const std::string& path) {
  // Opening a pipe would wait for somebody to write to it.
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a regular file"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot open: ", strerror(errno)));
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  if (absl::Status status = CheckComplete(bytes); !status.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", status.message()));
  }
  try {
    const cv::Mat raw = cv::imdecode(bytes, cv::IMREAD_COLOR);
    if (raw.empty()) {
      return absl::DataLossError(
          absl::StrCat(path, ": not a readable PGM, PNG or JPEG image"));
    }
    if (raw.rows == kSide && raw.cols == kSide) return raw;
    const bool shrink = raw.rows >= kSide && raw.cols >= kSide;
    cv::Mat scaled;
    cv::resize(raw, scaled, cv::Size(kSide, kSide), 0, 0,
               shrink ? cv::INTER_AREA : cv::INTER_LINEAR);
    return scaled;
  } catch (const cv::Exception& e) {
    return absl::DataLossError(absl::StrCat(path, ": ", e.what()));
  }
}

// From interleaved blue green red to planes red green blue, normalised.
void Normalize(const cv::Mat& image, bool flip, float* planes) {
  for (int y = 0; y < kSide; ++y) {
    const unsigned char* row = image.ptr<unsigned char>(y);
    for (int x = 0; x < kSide; ++x) {
      const unsigned char* pixel = row + 3 * (flip ? kSide - 1 - x : x);
      for (int c = 0; c < 3; ++c) {
        planes[c * kPlane + y * kSide + x] =
            (pixel[2 - c] / 255.0f - 0.5f) / 0.5f;
      }
    }
  }
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
    const ops::RandomStream flips = {static_cast<uint64_t>(options_.seed),
                                     kFlipKey, static_cast<uint32_t>(step)};
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = step * options_.batch_size + i;
      int64_t index = position % count;
      bool flip = false;
      if (options_.training) {
        index = Permutation(position / count, index);
        flip = ops::RandomWord(flips, i) & 1;
      }
      ASSIGN_OR_RETURN(const cv::Mat image, Get(index));
      Normalize(image, flip, images);
      images += kPixels;
      *labels++ = photographs_[index].person;
    }
    return absl::OkStatus();
  }

 private:
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
    ASSIGN_OR_RETURN(cv::Mat image, Decode(photographs_[index].path));
    std::lock_guard<std::mutex> lock(mutex_);
    if (cached_bytes_ + kPixels <= options_.cache_bytes &&
        cache_[index].empty()) {
      cached_bytes_ += kPixels;
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
      const absl::StatusOr<cv::Mat> image = Decode(full);
      if (!image.ok()) {
        LOG(WARNING) << "skipped: " << image.status().message();
        folder.unreadable.push_back(std::string(image.status().message()));
        continue;
      }
      folder.photographs.push_back({full, index});
      any = true;
    }
    if (any) folder.people.push_back(person);
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

absl::Status LoadPhotograph(const std::string& path, bool flip, float* image) {
  ASSIGN_OR_RETURN(const cv::Mat decoded, Decode(path));
  Normalize(decoded, flip, image);
  return absl::OkStatus();
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
  return std::make_unique<FolderSource>(std::move(photographs), options);
}

}  // namespace facet::runtime
