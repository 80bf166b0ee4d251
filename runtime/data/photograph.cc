#include "runtime/data/photograph.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostPixels = int64_t{1} << 26;
// Uncompressed, 16 bits, three channels, and some room.
constexpr uintmax_t kMostBytes = uintmax_t{8} * kMostPixels;

using Bytes = std::vector<unsigned char>;

struct Header {
  int64_t width = 0;
  int64_t height = 0;
  int64_t least_bytes = 0;  // Of the whole file, where the header tells.
};

bool StartsWith(const Bytes& bytes, absl::string_view prefix) {
  return bytes.size() >= prefix.size() &&
         std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

int64_t BigEndian(const Bytes& bytes, size_t at, int count) {
  int64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

// The first chunk is IHDR: its length, its name, width, height.
absl::StatusOr<Header> PngHeader(const Bytes& bytes) {
  if (bytes.size() < 24) return absl::DataLossError("truncated PNG");
  return Header{BigEndian(bytes, 16, 4), BigEndian(bytes, 20, 4)};
}

// Segments "FF marker length ..." up to the start of the frame, C0 to CF but
// for the tables C4, C8 and CC: "precision height width".
absl::StatusOr<Header> JpegHeader(const Bytes& bytes) {
  // The end-of-image marker, perhaps followed by padding. Decoders fill up
  // what is missing with grey and say nothing to the caller.
  constexpr unsigned char kEnd[] = {0xFF, 0xD9};
  const auto from = bytes.end() - std::min<size_t>(bytes.size(), 4096);
  if (std::search(from, bytes.end(), kEnd, kEnd + 2) == bytes.end()) {
    return absl::DataLossError("truncated JPEG");
  }
  for (size_t at = 2; at + 9 <= bytes.size();) {
    if (bytes[at] != 0xFF) break;
    const unsigned char marker = bytes[at + 1];
    if (marker == 0xFF) {  // Padding.
      ++at;
      continue;
    }
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
        marker != 0xCC) {
      return Header{BigEndian(bytes, at + 7, 2), BigEndian(bytes, at + 5, 2)};
    }
    at += 2 + BigEndian(bytes, at + 2, 2);
  }
  return absl::DataLossError("a JPEG without a frame");
}

// "P5 <width> <height> <maximum> <raster>", comments from # to line end. P5
// and P6 are binary, P2 and P3 numbers in text; P3 and P6 have three channels.
absl::StatusOr<Header> PnmHeader(const Bytes& bytes) {
  int64_t numbers[3] = {0, 0, 0};
  size_t at = 2;
  for (int64_t& number : numbers) {
    while (at < bytes.size() &&
           (absl::ascii_isspace(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#') {
        while (at < bytes.size() && bytes[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    while (at < bytes.size() && absl::ascii_isdigit(bytes[at]) &&
           number < (1 << 20)) {
      number = number * 10 + (bytes[at++] - '0');
    }
  }
  const bool binary = bytes[1] >= '5';
  const bool color = bytes[1] == '3' || bytes[1] == '6';
  // In text, every number takes at least a space and a digit.
  const int64_t raster = numbers[0] * numbers[1] * (color ? 3 : 1) *
                         (binary && numbers[2] <= 255 ? 1 : 2);
  return Header{numbers[0], numbers[1],
                static_cast<int64_t>(at) + (binary ? 1 : 0) + raster};
}

absl::StatusOr<Header> ReadHeader(const Bytes& bytes) {
  if (bytes.empty()) return absl::DataLossError("empty file");
  if (StartsWith(bytes, "\x89PNG\r\n\x1a\n")) return PngHeader(bytes);
  if (StartsWith(bytes, "\xFF\xD8")) return JpegHeader(bytes);
  for (const char* kind : {"P2", "P3", "P5", "P6"}) {
    if (StartsWith(bytes, kind)) return PnmHeader(bytes);
  }
  return absl::DataLossError("not a PGM, PNG or JPEG image");
}

absl::StatusOr<Bytes> ReadFile(const std::string& path) {
  // Opening a pipe would wait for somebody to write to it.
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    return absl::InvalidArgumentError("not a regular file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot open: ", strerror(errno)));
  }
  if (const uintmax_t size = fs::file_size(path, error);
      !error && size > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        size, " bytes, more than the ", kMostBytes, " of any photograph"));
  }
  return Bytes((std::istreambuf_iterator<char>(file)),
               std::istreambuf_iterator<char>());
}

absl::StatusOr<cv::Mat> DecodeAndScale(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path));
  ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes));
  // Not their product, which may overflow.
  if (header.height > 0 && header.width > kMostPixels / header.height) {
    return absl::InvalidArgumentError(
        absl::StrCat(header.width, " x ", header.height,
                     " pixels, more than the ", kMostPixels, " that are read"));
  }
  if (static_cast<int64_t>(bytes.size()) < header.least_bytes) {
    return absl::DataLossError("truncated PGM/PPM");
  }
  try {
    const cv::Mat raw = cv::imdecode(bytes, cv::IMREAD_COLOR);
    if (raw.empty()) {
      return absl::DataLossError("not a readable PGM, PNG or JPEG image");
    }
    if (raw.rows == kPhotographSide && raw.cols == kPhotographSide) return raw;
    const bool shrink =
        raw.rows >= kPhotographSide && raw.cols >= kPhotographSide;
    cv::Mat scaled;
    cv::resize(raw, scaled, cv::Size(kPhotographSide, kPhotographSide), 0, 0,
               shrink ? cv::INTER_AREA : cv::INTER_LINEAR);
    return scaled;
  } catch (const cv::Exception& e) {
    return absl::DataLossError(e.what());
  }
}

}  // namespace

absl::StatusOr<cv::Mat> DecodePhotograph(const std::string& path) {
  absl::StatusOr<cv::Mat> image = DecodeAndScale(path);
  if (image.ok()) return image;
  return absl::Status(image.status().code(),
                      absl::StrCat(path, ": ", image.status().message()));
}

// From interleaved blue green red to planes red green blue.
void NormalizePhotograph(const cv::Mat& decoded, const PhotographView& view,
                         float* planes) {
  constexpr int kSide = kPhotographSide;
  for (int y = 0; y < kSide; ++y) {
    const unsigned char* row =
        decoded.ptr<unsigned char>(std::clamp(y - view.shift_y, 0, kSide - 1));
    for (int x = 0; x < kSide; ++x) {
      const int column = std::clamp(x - view.shift_x, 0, kSide - 1);
      const unsigned char* pixel =
          row + 3 * (view.flip ? kSide - 1 - column : column);
      for (int c = 0; c < 3; ++c) {
        planes[(c * kSide + y) * kSide + x] =
            (pixel[2 - c] / 255.0f - 0.5f) / 0.5f;
      }
    }
  }
}

absl::Status LoadPhotograph(const std::string& path, const PhotographView& view,
                            float* planes) {
  ASSIGN_OR_RETURN(const cv::Mat decoded, DecodePhotograph(path));
  NormalizePhotograph(decoded, view, planes);
  return absl::OkStatus();
}

}  // namespace facet::runtime
