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

absl::Status WriteInPlace(const std::string& path, absl::string_view content) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return Error(path, "open");
  absl::Status status = WriteAll(file, path, content);
  if (close(file) != 0 && status.ok()) status = Error(path, "close");
  return status;
}

// A file without a name, which vanishes with the process: -1 where the file
// system has none.
int OpenUnnamed(const std::string& folder) {
  if (access("/proc/self/fd", X_OK) != 0) return -1;  // GiveName needs it.
  return open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
}

bool GiveName(int file, const std::string& path) {
  const std::string unnamed = absl::StrCat("/proc/self/fd/", file);
  return linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(),
                AT_SYMLINK_FOLLOW) == 0;
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
    return WriteInPlace(path, content);
  }
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  const size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int file = OpenUnnamed(folder);
  const bool unnamed = file >= 0;
  if (!unnamed) {
    file =
        open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
  }
  if (file < 0) return Error(path, "open");
  absl::Status status = WriteAll(file, path, content);
  if (status.ok() && fsync(file) != 0) status = Error(path, "sync");
  bool has_temporary = !unnamed;
  if (status.ok() && unnamed && !GiveName(file, path)) {
    // The path is taken: only a rename can replace it.
    unlink(temporary.c_str());  // Of a process of this number, killed here.
    has_temporary = GiveName(file, temporary);
    if (!has_temporary) status = Error(path, "write");
  }
  if (status.ok() && has_temporary &&
      rename(temporary.c_str(), path.c_str()) != 0) {
    status = Error(path, "write");
  }
  if (close(file) != 0 && status.ok()) status = Error(path, "close");
  if (!status.ok() && has_temporary) unlink(temporary.c_str());
  return status;
}

}  // namespace facet::placement
