// The table of all operators; op_list.bzl lists them, one line each.
#ifndef FACET_OPS_OP_TABLE_H_
#define FACET_OPS_OP_TABLE_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "ops/op_def.h"

namespace facet::ops {

// nullptr for an unknown op. Thread-safe. An OpLookup.
const OpDef* FindOp(absl::string_view name);

// All of them, in the order of the list. Lives forever.
const std::vector<OpDef>& AllOps();

}  // namespace facet::ops

#endif  // FACET_OPS_OP_TABLE_H_
