// ApplyPrecision: inserts casts so that ops compute in half precision where
// their PrecisionRule allows it. Variables stay as they are stored: float32
// masters, or in half where the model says so; ops that convert the latter
// themselves, to compute in float32, read them without a cast.
#ifndef FACET_PLACEMENT_PASSES_APPLY_PRECISION_H_
#define FACET_PLACEMENT_PASSES_APPLY_PRECISION_H_

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::placement {

// `half`: float16 or bfloat16. One cast per tensor and target type, shared by
// its readers. Nodes whose origin has keep_float32 stay float32.
absl::StatusOr<ops::Graph> ApplyPrecision(const ops::Graph& graph,
                                          ops::DataType half,
                                          ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_APPLY_PRECISION_H_
