// AtomicFile, WriteFileAtomically: a file is written whole or not at all.
#ifndef FACET_PLACEMENT_PLAN_WRITE_FILE_H_
#define FACET_PLACEMENT_PLAN_WRITE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::placement {

// What is appended goes to a file without a name, which Commit syncs and then
// gives the name `path`: a full disk or a killed process leaves the old file as
// it was, and nothing else. (To replace a file, the new one must have a name
// first: killed in the instant between that and the renaming, it stays beside
// `path` as a whole PATH.PID.tmp. On a file system without unnamed files it has
// that name while it is written.) What is not a regular file (/dev/stdout, a
// pipe) is written directly. Errors name the path and the system's reason.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> Open(std::string path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  // Without a Commit that went well nothing stays.
  ~AtomicFile();

  absl::Status Append(absl::string_view content);
  absl::Status Commit();  // Once; nothing is appended after it.

 private:
  explicit AtomicFile(std::string path) : path_(std::move(path)) {}
  absl::Status GiveItsName();
  std::string temporary() const;

  std::string path_;
  int file_ = -1;
  bool in_place_ = false;       // Not a regular file.
  bool has_temporary_ = false;  // The file is called `temporary()`.
};

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_WRITE_FILE_H_
