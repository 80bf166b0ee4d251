#include "placement/passes/allow_rounding.h"

#include <algorithm>

#include "glog/logging.h"
#include "ops/may_round_attribute.h"

namespace facet::placement {
namespace {

bool HasMayRound(const ops::OpDef& def) {
  return std::any_of(def.attributes.begin(), def.attributes.end(),
                     [](const ops::AttributeSpec& spec) {
                       return spec.name == ops::kMayRound;
                     });
}

bool IsConvolution(const ops::OpDef& def) {
  return def.name == "conv2d" || def.name == "conv2d_grad_input" ||
         def.name == "conv2d_grad_weight";
}

}  // namespace

absl::string_view RoundingName(Rounding rounding) {
  switch (rounding) {
    case Rounding::kNone:
      return "none";
    case Rounding::kConvolutions:
      return "convolutions";
    case Rounding::kAll:
      return "all";
  }
  LOG(FATAL) << "rounding " << static_cast<int>(rounding);
  return "";
}

ops::Graph AllowRounding(ops::Graph graph, Rounding rounding,
                         ops::OpLookup lookup) {
  for (ops::Node& node : graph.nodes) {
    const ops::OpDef& def = *lookup(node.op);
    if (!HasMayRound(def)) continue;
    const bool may_round =
        rounding == Rounding::kAll ||
        (rounding == Rounding::kConvolutions && IsConvolution(def));
    node.attributes.Set(ops::kMayRound, may_round);
  }
  return graph;
}

}  // namespace facet::placement
