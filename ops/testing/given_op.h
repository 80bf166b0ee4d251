// The op "given": an operand whose value a test gives (Interpreter::Set). It
// has no kernel and is not in the op table.
#ifndef FACET_OPS_TESTING_GIVEN_OP_H_
#define FACET_OPS_TESTING_GIVEN_OP_H_

#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"
#include "ops/graph_builder.h"
#include "ops/op_def.h"

namespace facet::ops {

// The op table's ops, and "given". An OpLookup.
const OpDef* FindOpOrGiven(absl::string_view name);

// Adds a "given" of this type; the builder's lookup must know it.
TensorId AddGiven(GraphBuilder* builder, absl::string_view name,
                  const TensorType& type);

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_GIVEN_OP_H_
