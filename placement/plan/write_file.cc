#include "placement/plan/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

absl::Status Error(const std::string& path, absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

absl::Status WriteAll(int file, const std::string& path,
                      absl::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(path, "write");
    content.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status WriteTo(const std::string& path, int flags,
                     absl::string_view content, bool sync) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0666);
  if (file < 0) return Error(path, "open");
  absl::Status status = WriteAll(file, path, content);
  if (status.ok() && sync && fsync(file) != 0) status = Error(path, "sync");
  if (close(file) != 0 && status.ok()) status = Error(path, "close");
  return status;
}

}  // namespace

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content) {
  struct stat existing;
  if (stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    if (S_ISDIR(existing.st_mode)) {
      errno = EISDIR;
      return Error(path, "write");
    }
    return WriteTo(path, 0, content, /*sync=*/false);
  }
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  absl::Status status =
      WriteTo(temporary, O_CREAT | O_TRUNC, content, /*sync=*/true);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = Error(path, "rename to");
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace facet::placement
