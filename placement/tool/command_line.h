// The command line of a program with commands, as `git` has: flags of gflags,
// but only those that the command has, and errors instead of exits.
#ifndef FACET_PLACEMENT_TOOL_COMMAND_LINE_H_
#define FACET_PLACEMENT_TOOL_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet::placement {

// Sets the flags (--name=value, --name value, --name and --noname of bools)
// and returns the arguments that are none; all after "--" are none.
// InvalidArgument: a flag that is not among `allowed` (lists them), or a value
// that it cannot have. Every name in `allowed` must be defined.
absl::StatusOr<std::vector<std::string>> SetFlags(
    absl::Span<const std::string> arguments,
    absl::Span<const std::string> allowed);

// "  --name    description (default: value)\n" of each, wrapped to `width`.
std::string FlagsHelp(absl::Span<const std::string> names, int width);

// Text in lines of at most `width` characters, the later ones indented.
std::string Wrap(const std::string& text, int width, int indent);

// "a, b, c" that are nearest to `word` in spelling: at most `count`, only
// similar ones. What a user may have meant.
std::vector<std::string> Similar(const std::string& word,
                                 absl::Span<const std::string> known,
                                 int count);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_COMMAND_LINE_H_
