#include "placement/tool/flag_values.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"
#include "placement/plan/plan_io.h"

namespace facet::placement {

absl::Status InvalidFlag(absl::string_view flag, absl::string_view value,
                         absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": ", allowed));
}

std::string UserPath(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  const std::filesystem::path base = directory != nullptr
                                         ? std::filesystem::path(directory)
                                         : std::filesystem::current_path();
  return (base / path).lexically_normal().string();
}

bool IsDevicePath(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) &&
         !std::filesystem::is_regular_file(path, error);
}

absl::StatusOr<std::string> OutputPath(absl::string_view flag,
                                       const std::string& path) {
  const std::string absolute = UserPath(path);
  if (absolute.empty()) return absolute;
  const std::filesystem::path folder =
      std::filesystem::path(absolute).parent_path();
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return InvalidFlag(flag, path,
                       absl::StrCat("there is no folder ", folder.string()));
  }
  if (std::filesystem::is_directory(absolute, error)) {
    return InvalidFlag(flag, path, "this is a folder, a file name is needed");
  }
  // A file is replaced, which is the folder's business; a device is not.
  const bool device = IsDevicePath(absolute);
  if (eaccess(device ? absolute.c_str() : folder.c_str(), W_OK) != 0) {
    return InvalidFlag(
        flag, path,
        absl::StrCat("cannot write to ", device ? absolute : folder.string(),
                     ": ", strerror(errno)));
  }
  return absolute;
}

absl::StatusOr<std::string> PlanOutputPath(const std::string& path) {
  ASSIGN_OR_RETURN(std::string absolute, OutputPath("plan_out", path));
  if (absolute.empty()) return absolute;
  const absl::Status name = CheckPlanFileName(absolute);
  if (!name.ok()) return InvalidFlag("plan_out", path, name.message());
  return absolute;
}

}  // namespace facet::placement
