// Where a command gets its plan from: a file, or the compiler.
#ifndef FACET_PLACEMENT_TOOL_PLAN_SOURCE_H_
#define FACET_PLACEMENT_TOOL_PLAN_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/tool/request.h"

namespace facet::placement {

// What the compiler was given, and what it made of it.
struct Compiled {
  Request request;
  ops::Graph model;
  Cluster cluster;
  CompileOptions options;
  Compilation result;
  double seconds = 0;  // That compiling took.
  std::string note;    // "" or why this would not run on this machine.
};

// Compiles what the flags say: for devices like this machine's, of which there
// may be more than it has, or for hardware known by name. A plan that they have
// no memory for is a plan too: `note` says so.
absl::StatusOr<Compiled> CompileFromFlags();

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_SOURCE_H_
