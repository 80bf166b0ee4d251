// DrawSvg: a drawing of a graph by Graphviz's program `dot`.
#ifndef FACET_PLACEMENT_TOOL_GRAPHVIZ_H_
#define FACET_PLACEMENT_TOOL_GRAPHVIZ_H_

#include <string>

#include "absl/status/statusor.h"

namespace facet::placement {

// SVG of a graph in the DOT language. FailedPrecondition, with the command that
// installs it, if `dot` is not on the PATH; InvalidArgument with what it said
// if it fails.
absl::StatusOr<std::string> DrawSvg(const std::string& dot);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_GRAPHVIZ_H_
