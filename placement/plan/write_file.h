// WriteFileAtomically: a file is written whole or not at all.
#ifndef FACET_PLACEMENT_PLAN_WRITE_FILE_H_
#define FACET_PLACEMENT_PLAN_WRITE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace facet::placement {

// Writes to a file without a name, syncs, and then gives it the name `path`: a
// full disk or a killed process leaves the old file as it was, and nothing
// else. (To replace a file, the new one must have a name first: killed in the
// instant between that and the renaming, it stays beside `path` as a whole
// PATH.PID.tmp. On a file system without unnamed files it has that name while
// it is written.) What is not a regular
// file (/dev/stdout, a pipe) is written directly. The error names the path and
// the system's reason.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_WRITE_FILE_H_
