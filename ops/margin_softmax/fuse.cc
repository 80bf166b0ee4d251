// From
//
//   logits = combined_margin(cos, labels)
//   max = row_max(logits)                      -> margin_softmax_max(cos, ...)
//   sum = row_sum_exp(logits, max)             -> margin_softmax_sum(cos, ...)
//   loss = softmax_cross_entropy(logits, max, sum, labels)
//                                              -> margin_softmax_loss(cos, ...)
//   dlogits = softmax_cross_entropy_grad(logits, max, sum, labels, dloss)
//   dcos = combined_margin_grad(dlogits, cos, labels)
//                                              -> margin_softmax_grad(cos, ...)
//
// The last two may be absent. Any other use of logits or dlogits needs the
// values, and then nothing is rewritten.
#include "ops/margin_softmax/fuse.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Pattern {
  NodeId margin = kNone;
  NodeId max = kNone;
  NodeId sum = kNone;
  NodeId loss = kNone;
  NodeId loss_grad = kNone;  // kNone: no gradients.
  NodeId margin_grad = kNone;
};

class Matcher {
 public:
  explicit Matcher(const FusionContext& context) : context_(context) {}

  // The pattern around this combined_margin.
  std::optional<Pattern> Match(NodeId margin) const {
    if (node(margin).op != "combined_margin") return std::nullopt;
    Pattern p;
    p.margin = margin;
    const TensorId logits = node(margin).outputs[0];
    for (NodeId reader : context_.Consumers(logits)) {
      NodeId* part = PartOf(node(reader).op, &p);
      if (part == nullptr || *part != kNone) return std::nullopt;
      *part = reader;
    }
    if (p.max == kNone || p.sum == kNone || p.loss == kNone) {
      return std::nullopt;
    }
    const TensorId max = node(p.max).outputs[0], sum = node(p.sum).outputs[0];
    const TensorId labels = node(margin).inputs[1];
    auto reads = [&](NodeId id, std::vector<TensorId> first) {
      const std::vector<TensorId>& inputs = node(id).inputs;
      return std::equal(first.begin(), first.end(), inputs.begin());
    };
    if (!reads(p.sum, {logits, max}) ||
        !reads(p.loss, {logits, max, sum, labels})) {
      return std::nullopt;
    }
    if (p.loss_grad == kNone) return p;
    const std::vector<NodeId> readers =
        context_.Consumers(node(p.loss_grad).outputs[0]);
    if (!reads(p.loss_grad, {logits, max, sum, labels}) ||
        readers.size() != 1) {
      return std::nullopt;
    }
    p.margin_grad = readers[0];
    const Node& gradient = node(p.margin_grad);
    const TensorId dlogits = node(p.loss_grad).outputs[0];
    if (gradient.op != "combined_margin_grad" ||
        !(gradient.attributes == node(margin).attributes) ||
        !reads(p.margin_grad, {dlogits, node(margin).inputs[0], labels})) {
      return std::nullopt;
    }
    return p;
  }

 private:
  const Node& node(NodeId id) const { return context_.graph().nodes[id]; }

  // Where a reader of the logits belongs; null if nowhere.
  static NodeId* PartOf(absl::string_view op, Pattern* p) {
    if (op == "row_max") return &p->max;
    if (op == "row_sum_exp") return &p->sum;
    if (op == "softmax_cross_entropy") return &p->loss;
    if (op == "softmax_cross_entropy_grad") return &p->loss_grad;
    return nullptr;
  }

  const FusionContext& context_;
};

absl::Status Rewrite(const Pattern& p, FusionContext* context) {
  // Copies: adding nodes moves the graph's storage.
  const Node margin = context->graph().nodes[p.margin];
  const TensorId cos = margin.inputs[0], labels = margin.inputs[1];
  auto output = [&](NodeId id) {
    return context->graph().nodes[id].outputs[0];
  };
  auto replace = [&](NodeId old, absl::string_view op,
                     std::vector<TensorId> others) -> absl::Status {
    std::vector<TensorId> inputs = {cos, labels};
    inputs.insert(inputs.end(), others.begin(), others.end());
    ASSIGN_OR_RETURN(const std::vector<TensorId> outputs,
                     context->Add(op, inputs, margin.attributes, old));
    context->Redirect(output(old), outputs[0]);
    context->Drop(old);
    return absl::OkStatus();
  };
  // Redirect gives readers the new statistics, also those that come next.
  auto inputs = [&](NodeId id, size_t begin, size_t end) {
    const std::vector<TensorId>& all = context->graph().nodes[id].inputs;
    return std::vector<TensorId>(all.begin() + begin, all.begin() + end);
  };
  RETURN_IF_ERROR(replace(p.max, "margin_softmax_max", {}));
  RETURN_IF_ERROR(replace(p.sum, "margin_softmax_sum", inputs(p.sum, 1, 2)));
  RETURN_IF_ERROR(replace(p.loss, "margin_softmax_loss", inputs(p.loss, 1, 3)));
  if (p.loss_grad != kNone) {
    std::vector<TensorId> others = inputs(p.loss_grad, 1, 3);
    others.push_back(context->graph().nodes[p.loss_grad].inputs[4]);
    RETURN_IF_ERROR(replace(p.margin_grad, "margin_softmax_grad", others));
    context->Drop(p.loss_grad);
  }
  context->Drop(p.margin);
  context->Log(absl::StrCat(margin.name, " and the softmax of its logits ",
                            "became: margin_softmax of ",
                            context->graph().tensors[cos].name));
  return absl::OkStatus();
}

}  // namespace

absl::Status FuseMarginSoftmax(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) { return Matcher(*context).Match(anchor); },
      [&](const Pattern& p) { return Rewrite(p, context); });
}

}  // namespace facet::ops
