// The flags that commands of the plan tool share.
#ifndef FACET_PLACEMENT_TOOL_TOOL_FLAGS_H_
#define FACET_PLACEMENT_TOOL_TOOL_FLAGS_H_

#include "gflags/gflags.h"

DECLARE_string(plan);
DECLARE_string(json);
DECLARE_string(out);
DECLARE_string(format);
DECLARE_string(plan_out);
DECLARE_bool(unfold);
DECLARE_bool(backward);
DECLARE_string(trace);
DECLARE_double(host_memory_gib);

#endif  // FACET_PLACEMENT_TOOL_TOOL_FLAGS_H_
