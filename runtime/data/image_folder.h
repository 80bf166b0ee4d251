// ImageFolder: photographs from a folder with one sub-folder per person.
#ifndef FACET_RUNTIME_DATA_IMAGE_FOLDER_H_
#define FACET_RUNTIME_DATA_IMAGE_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/data_source.h"

namespace facet::runtime {

struct Photograph {
  std::string path;
  int32_t person = 0;  // Index into ImageFolder::people.
};

// What a folder holds. People are the sub-folders with at least one readable
// photograph, in natural order ("s2" before "s10"); so are the files in each.
struct ImageFolder {
  std::vector<std::string> people;
  std::vector<Photograph> photographs;  // By person, then by file.
  std::vector<std::string> unreadable;  // "path: why"; skipped.
};

// Finds and decodes every photograph once (PGM, PNG, JPEG, by ending), so that
// a broken one is named now and not in the middle of a run; logs each broken
// one and their number, and people who have none left. NotFound /
// InvalidArgument for a missing folder, one without sub-folders, or without any
// readable photograph.
absl::StatusOr<ImageFolder> ScanImageFolder(const std::string& path);

struct FolderSourceOptions {
  int64_t seed = 0;
  int64_t batch_size = 0;  // Global.
  // True: shuffled anew in every epoch, flipped at random. False: in order
  // from the first, wrapping at the end, never flipped (evaluation).
  bool training = true;
  // Training: moved at random by up to so many pixels in both directions.
  int max_shift = 0;
  // Decoded photographs kept in memory, in bytes; beyond that they are decoded
  // again each time.
  int64_t cache_bytes = int64_t{1} << 30;
};

// Labels are the persons' indices. Image `i` of step `s` is photograph number
// s * batch_size + i of the endless sequence of shuffled epochs: a function of
// (seed, s, i) alone.
absl::StatusOr<std::unique_ptr<ops::DataSource>> CreateFolderSource(
    std::vector<Photograph> photographs, const FolderSourceOptions& options);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DATA_IMAGE_FOLDER_H_
