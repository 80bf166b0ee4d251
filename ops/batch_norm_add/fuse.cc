// From
//
//   v = batch_norm(x, sum, square_sum, scale, bias)
//   y = add(v, addend)                    -> batch_norm_add(x, addend, ...)
//   y_sum, y_square_sum = batch_norm_statistics(y)
//
// where the last line may be absent, and from
//
//   v = batch_norm_grad_input(dy, x, ...)
//   dx = add(v, addend)         -> batch_norm_grad_input_add(dy, x, addend,
//   ...)
//
// if nothing else reads v.
#include "ops/batch_norm_add/fuse.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// An addition of what `normalise` makes, for it alone.
struct Pattern {
  NodeId add = kNone;
  NodeId normalise = kNone;
  TensorId addend = kNone;
};

std::optional<Pattern> Match(const FusionContext& context, NodeId add,
                             absl::string_view op) {
  const Graph& graph = context.graph();
  const Node& node = graph.nodes[add];
  if (node.op != "add" || node.inputs[0] == node.inputs[1]) return std::nullopt;
  for (int i : {0, 1}) {
    const TensorId v = node.inputs[i];
    const NodeId producer = graph.tensors[v].producer;
    if (graph.nodes[producer].op == op && context.Consumers(v).size() == 1) {
      return Pattern{add, producer, node.inputs[1 - i]};
    }
  }
  return std::nullopt;
}

// The two become `fused`, whose input `addend` is the one of this index;
// returns its outputs.
absl::StatusOr<std::vector<TensorId>> Replace(const Pattern& p,
                                              absl::string_view fused,
                                              int addend,
                                              FusionContext* context) {
  // Copies: adding nodes moves the graph's storage.
  const Node add = context->graph().nodes[p.add];
  const Node normalise = context->graph().nodes[p.normalise];
  std::vector<TensorId> inputs = normalise.inputs;
  inputs.insert(inputs.begin() + addend, p.addend);
  ASSIGN_OR_RETURN(std::vector<TensorId> outputs,
                   context->Add(fused, inputs, normalise.attributes, p.add));
  context->Redirect(add.outputs[0], outputs[0]);
  context->Drop(p.add);
  context->Drop(p.normalise);
  context->Log(
      absl::StrCat(normalise.name, " and ", add.name, " became one: ", fused));
  return outputs;
}

// The sum's statistics come out of the pass that makes it.
absl::Status RewriteSum(const Pattern& p, FusionContext* context) {
  const int64_t groups =
      context->graph().nodes[p.normalise].attributes.Int("groups");
  ASSIGN_OR_RETURN(const std::vector<TensorId> y,
                   Replace(p, "batch_norm_add", 1, context));
  for (NodeId reader : context->Consumers(y[0])) {
    const Node statistics = context->graph().nodes[reader];
    if (statistics.op != "batch_norm_statistics" ||
        statistics.attributes.Int("groups") != groups) {
      continue;
    }
    context->Redirect(statistics.outputs[0], y[1]);
    context->Redirect(statistics.outputs[1], y[2]);
    context->Drop(reader);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FuseBatchNormAdd(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) { return Match(*context, anchor, "batch_norm"); },
      [&](const Pattern& p) { return RewriteSum(p, context); });
}

absl::Status FuseBatchNormGradInputAdd(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) {
        return Match(*context, anchor, "batch_norm_grad_input");
      },
      [&](const Pattern& p) {
        return Replace(p, "batch_norm_grad_input_add", 2, context).status();
      });
}

}  // namespace facet::ops
