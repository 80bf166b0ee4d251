// AllowRounding: which products of float32 may be computed with factors that
// are rounded to TF32's 11 bits, on GPUs whose tensor cores multiply such many
// times faster (ops/may_round_attribute.h).
#ifndef FACET_PLACEMENT_PASSES_ALLOW_ROUNDING_H_
#define FACET_PLACEMENT_PASSES_ALLOW_ROUNDING_H_

#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::placement {

enum class Rounding {
  kNone,
  // conv2d and its gradients: PyTorch's default.
  kConvolutions,
  kAll,
};

// "none", "convolutions", "all".
absl::string_view RoundingName(Rounding rounding);

// Sets the attribute may_round of every node whose op has it.
ops::Graph AllowRounding(ops::Graph graph, Rounding rounding,
                         ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_ALLOW_ROUNDING_H_
