// From
//
//   v = batch_norm(x, sum, square_sum, scale, bias)
//   y = prelu(v, alpha)                       -> batch_norm_prelu(x, ...,
//   alpha) dv, dalpha = prelu_grad(dy, v, alpha) bias_grad, scale_grad =
//       batch_norm_grad_statistics(dv, x, sum, square_sum)
//                             -> batch_norm_prelu_grad_statistics(dy, x, ...)
//   dx = batch_norm_grad_input(dv, x, ..., bias_grad, scale_grad)
//                                  -> batch_norm_prelu_grad_input(dy, x, ...)
//
// dx, or all of the gradients, may be absent. Any other use of v or dv needs
// the values, and then nothing is rewritten.
#include "ops/batch_norm_prelu/fuse.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Pattern {
  NodeId batch_norm = kNone;
  NodeId prelu = kNone;
  NodeId prelu_grad = kNone;  // kNone: no gradients.
  NodeId grad_statistics = kNone;
  NodeId grad_input = kNone;  // kNone: x gets no gradient.
};

class Matcher {
 public:
  explicit Matcher(const FusionContext& context) : context_(context) {}

  // The pattern around this prelu.
  std::optional<Pattern> Match(NodeId prelu) const {
    if (node(prelu).op != "prelu") return std::nullopt;
    Pattern p;
    p.prelu = prelu;
    const TensorId v = node(prelu).inputs[0];
    p.batch_norm = context_.graph().tensors[v].producer;
    if (node(p.batch_norm).op != "batch_norm") return std::nullopt;
    for (NodeId reader : context_.Consumers(v)) {
      if (reader == prelu) continue;
      if (p.prelu_grad != kNone || !IsGradient(reader, v, prelu)) {
        return std::nullopt;
      }
      p.prelu_grad = reader;
    }
    if (p.prelu_grad != kNone && !MatchGradients(&p)) return std::nullopt;
    return p;
  }

 private:
  const Node& node(NodeId id) const { return context_.graph().nodes[id]; }

  bool IsGradient(NodeId reader, TensorId v, NodeId prelu) const {
    const Node& n = node(reader);
    return n.op == "prelu_grad" && n.inputs[0] != v && n.inputs[1] == v &&
           n.inputs[2] == node(prelu).inputs[1];
  }

  bool MatchGradients(Pattern* p) const {
    const TensorId dv = node(p->prelu_grad).outputs[0];
    for (NodeId reader : context_.Consumers(dv)) {
      NodeId* place =
          node(reader).op == "batch_norm_grad_statistics" ? &p->grad_statistics
          : node(reader).op == "batch_norm_grad_input"    ? &p->grad_input
                                                          : nullptr;
      if (place == nullptr || *place != kNone) return false;
      *place = reader;
    }
    if (p->grad_statistics == kNone) return false;
    const std::vector<TensorId>& forward = node(p->batch_norm).inputs;
    const Node& statistics = node(p->grad_statistics);
    if (!SameAttributes(statistics, *p) ||
        statistics.inputs !=
            std::vector<TensorId>{dv, forward[0], forward[1], forward[2]}) {
      return false;
    }
    if (p->grad_input == kNone) return true;
    const Node& input = node(p->grad_input);
    return SameAttributes(input, *p) &&
           input.inputs == std::vector<TensorId>{dv,
                                                 forward[0],
                                                 forward[1],
                                                 forward[2],
                                                 forward[3],
                                                 statistics.outputs[0],
                                                 statistics.outputs[1]};
  }

  bool SameAttributes(const Node& n, const Pattern& p) const {
    const Attributes& expected = node(p.batch_norm).attributes;
    return n.attributes.Int("groups") == expected.Int("groups") &&
           n.attributes.Float("eps") == expected.Float("eps");
  }

  const FusionContext& context_;
};

absl::Status RewriteGradients(const Pattern& p, std::vector<TensorId> operands,
                              const Attributes& attributes,
                              FusionContext* context) {
  // Copies: adding nodes moves the graph's storage.
  const Node prelu_grad = context->graph().nodes[p.prelu_grad];
  const Node statistics = context->graph().nodes[p.grad_statistics];
  operands.insert(operands.begin(), prelu_grad.inputs[0]);
  ASSIGN_OR_RETURN(const std::vector<TensorId> sums,
                   context->Add("batch_norm_prelu_grad_statistics", operands,
                                attributes, p.grad_statistics));
  if (p.grad_input != kNone) {
    std::vector<TensorId> inputs = operands;
    inputs.push_back(sums[0]);
    inputs.push_back(sums[1]);
    ASSIGN_OR_RETURN(const std::vector<TensorId> dx,
                     context->Add("batch_norm_prelu_grad_input", inputs,
                                  attributes, p.grad_input));
    context->Redirect(context->graph().nodes[p.grad_input].outputs[0], dx[0]);
    context->Drop(p.grad_input);
  }
  context->Redirect(statistics.outputs[0], sums[0]);
  context->Redirect(statistics.outputs[1], sums[1]);
  if (!context->Consumers(prelu_grad.outputs[1]).empty()) {
    ASSIGN_OR_RETURN(const std::vector<TensorId> alpha_grad,
                     context->Add("reduce_sum", {sums[2]},
                                  {{"axis", int64_t{0}}}, p.prelu_grad));
    context->Redirect(prelu_grad.outputs[1], alpha_grad[0]);
  }
  context->Drop(p.grad_statistics);
  context->Drop(p.prelu_grad);
  return absl::OkStatus();
}

absl::Status Rewrite(const Pattern& p, FusionContext* context) {
  const Node batch_norm = context->graph().nodes[p.batch_norm];
  const Node prelu = context->graph().nodes[p.prelu];
  std::vector<TensorId> operands = batch_norm.inputs;
  operands.push_back(prelu.inputs[1]);
  ASSIGN_OR_RETURN(const std::vector<TensorId> y,
                   context->Add("batch_norm_prelu", operands,
                                batch_norm.attributes, p.prelu));
  context->Redirect(prelu.outputs[0], y[0]);
  if (p.prelu_grad != kNone) {
    RETURN_IF_ERROR(
        RewriteGradients(p, operands, batch_norm.attributes, context));
  }
  context->Drop(p.prelu);
  context->Drop(p.batch_norm);
  context->Log(absl::StrCat(batch_norm.name, " and ", prelu.name,
                            " became one: batch_norm_prelu"));
  return absl::OkStatus();
}

}  // namespace

absl::Status FuseBatchNormPrelu(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) { return Matcher(*context).Match(anchor); },
      [&](const Pattern& p) { return Rewrite(p, context); });
}

}  // namespace facet::ops
