#include "placement/plan/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

absl::Status Error(const std::string& path, absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
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

std::string AtomicFile::temporary() const {
  return absl::StrCat(path_, ".", getpid(), ".tmp");
}

absl::StatusOr<AtomicFile> AtomicFile::Open(std::string path) {
  AtomicFile result(std::move(path));
  const std::string& name = result.path_;
  struct stat existing;
  if (stat(name.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    if (S_ISDIR(existing.st_mode)) {
      errno = EISDIR;
      return Error(name, "write");
    }
    result.in_place_ = true;
    result.file_ = open(name.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    const size_t slash = name.rfind('/');
    result.file_ = OpenUnnamed(
        slash == std::string::npos ? "." : name.substr(0, slash + 1));
    if (result.file_ < 0) {
      result.file_ = open(result.temporary().c_str(),
                          O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
      result.has_temporary_ = result.file_ >= 0;
    }
  }
  if (result.file_ < 0) return Error(name, "open");
  return result;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      in_place_(other.in_place_),
      has_temporary_(std::exchange(other.has_temporary_, false)) {}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) close(file_);
  if (has_temporary_) unlink(temporary().c_str());
}

absl::Status AtomicFile::Append(absl::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(file_, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(path_, "write");
    content.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::GiveItsName() {
  if (fsync(file_) != 0) return Error(path_, "sync");
  if (!has_temporary_) {
    if (GiveName(file_, path_)) return absl::OkStatus();
    // The path is taken: only a rename can replace it.
    unlink(temporary().c_str());  // Of a process of this number, killed here.
    has_temporary_ = GiveName(file_, temporary());
    if (!has_temporary_) return Error(path_, "write");
  }
  if (rename(temporary().c_str(), path_.c_str()) != 0) {
    return Error(path_, "write");
  }
  has_temporary_ = false;
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  absl::Status status = in_place_ ? absl::OkStatus() : GiveItsName();
  if (close(std::exchange(file_, -1)) != 0 && status.ok()) {
    status = Error(path_, "close");
  }
  return status;
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content) {
  absl::StatusOr<AtomicFile> file = AtomicFile::Open(path);
  if (!file.ok()) return file.status();
  const absl::Status status = file->Append(content);
  return status.ok() ? file->Commit() : status;
}

}  // namespace facet::placement
