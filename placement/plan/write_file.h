// WriteFileAtomically: a file is written whole or not at all.
#ifndef FACET_PLACEMENT_PLAN_WRITE_FILE_H_
#define FACET_PLACEMENT_PLAN_WRITE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace facet::placement {

// Writes to a file without a name, syncs, and then gives it the name `path`: a
// full disk or a killed process leaves the old file as it was, and nothing
// else. (On a file system without unnamed files: to a temporary file beside
// `path`, which stays behind if the process is killed.) What is not a regular
// file (/dev/stdout, a pipe) is written directly. The error names the path and
// the system's reason.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_WRITE_FILE_H_
