#include "placement/tool/tool_flags.h"

DEFINE_string(plan, "",
              "Read this plan (.pb, .pbtxt, .txt or .json) instead of "
              "compiling one.");
DEFINE_string(json, "", "Also write the facts to this file, for programs.");
DEFINE_string(out, "", "Write to this file instead of the standard output.");
DEFINE_string(format, "text",
              "text (tables), json (facts), dot (Graphviz), svg (drawn by "
              "Graphviz) or html (one page that works from disk).");
DEFINE_string(plan_out, "",
              "Also write the plan itself to this file: .pb (protobuf), .txt "
              "or .json.");
DEFINE_bool(unfold, false,
            "List and draw repeated blocks of the network one by one.");
DEFINE_bool(backward, false,
            "Draw the backward pass and the optimizer too (dot, svg, html).");
DEFINE_string(trace, "",
              "With --format=html: draw the timeline that a run of this plan "
              "measured (its --trace_out) instead of the predicted one.");
DEFINE_double(host_memory_gib, -1,
              "Memory for all devices that have none of their own, together; "
              "-1: what is free on this machine; 0: not limited.");
