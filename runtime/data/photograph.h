// A photograph: from a file to the pixels that a network reads. Which files
// there are, and in which order they are trained on, is in image_folder.h.
#ifndef FACET_RUNTIME_DATA_PHOTOGRAPH_H_
#define FACET_RUNTIME_DATA_PHOTOGRAPH_H_

#include <cstdint>
#include <opencv2/core.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace facet::runtime {

constexpr int kPhotographSide = 112;
constexpr int64_t kPhotographPixels =
    int64_t{3} * kPhotographSide * kPhotographSide;

// Decoded and scaled to 112 x 112 (area averaging down, bilinear up), 8 bits,
// interleaved blue green red, grey replicated to 3 channels. A PGM/PPM, PNG or
// JPEG file by its content, whole and of at most 2^26 pixels (8192 x 8192):
// a few kilobytes that unpack to gigabytes are refused before they do. Errors
// name the path.
absl::StatusOr<cv::Mat> DecodePhotograph(const std::string& path);

// How a photograph is looked at: mirrored, then moved right by shift_x and down
// by shift_y pixels, the border repeated. How training makes more of few.
struct PhotographView {
  bool flip = false;
  int shift_x = 0;
  int shift_y = 0;
};

// planes[3*112*112]: red, green, blue, (x / 255 - 0.5) / 0.5.
void NormalizePhotograph(const cv::Mat& decoded, const PhotographView& view,
                         float* planes);

// Both of them.
absl::Status LoadPhotograph(const std::string& path, const PhotographView& view,
                            float* planes);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DATA_PHOTOGRAPH_H_
