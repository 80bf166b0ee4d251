// Values of flags: errors that name the flag, and paths from where the user
// stands.
#ifndef FACET_PLACEMENT_TOOL_FLAG_VALUES_H_
#define FACET_PLACEMENT_TOOL_FLAG_VALUES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::placement {

// InvalidArgument "--flag=value: allowed".
absl::Status InvalidFlag(absl::string_view flag, absl::string_view value,
                         absl::string_view allowed);

// The absolute path; relative ones are taken from where the user stands, which
// under `bazel run` (it changes the directory) is BUILD_WORKING_DIRECTORY.
// Empty stays empty.
std::string UserPath(const std::string& path);

// UserPath of a result file. A folder that is not there, or not ours to write
// to, should fail before the work and not after it: InvalidArgument names flag
// and path. Empty: not asked for.
absl::StatusOr<std::string> OutputPath(absl::string_view flag,
                                       const std::string& path);

// OutputPath of --plan_out, whose ending says what is written (plan_io.h).
absl::StatusOr<std::string> PlanOutputPath(const std::string& path);

// /dev/stdout, a pipe: exists and is no regular file.
bool IsDevicePath(const std::string& path);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_FLAG_VALUES_H_
