// From what cosine_linear and margin_softmax make of a head in training,
//
//   cos = cosine_linear(x, w)              x: of l2_normalize
//   max = margin_softmax_max(cos, labels)
//   sum = margin_softmax_sum(cos, labels, max)
//                          -> sum, target_loss = cosine_softmax_sum(x, w, ...)
//   loss = margin_softmax_loss(cos, labels, max, sum)
//                                    -> cosine_softmax_loss(sum, target_loss)
//   dcos = margin_softmax_grad(cos, labels, max, sum, dloss)
//   dx = cosine_linear_grad_input(dcos, w)
//              -> cosine_softmax_grad_input(x, w, labels, sum, dloss)
//   cosine_linear_sgd(w, m, x, dcos, scalars...)
//              -> cosine_softmax_sgd(w, m, x, labels, sum, dloss, scalars...)
//   square_norm(dcos), to find overflows    -> square_norm(dx)
//
// The last may be absent. A dcos that is not finite makes a dx that is not.
// Any other use of cos, dcos or the statistics needs the values, and then
// nothing is rewritten.
#include "ops/cosine_softmax/fuse.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/cosine_softmax/softmax_shift.h"
#include "ops/loss_scale/only_finds_overflow.h"
#include "ops/may_round_attribute.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Pattern {
  NodeId forward = kNone;
  NodeId max = kNone;
  NodeId sum = kNone;
  NodeId loss = kNone;
  NodeId gradient = kNone;
  NodeId grad_input = kNone;
  NodeId sgd = kNone;
  std::vector<NodeId> square_norms;
};

class Matcher {
 public:
  explicit Matcher(const FusionContext& context) : context_(context) {}

  // The pattern around this cosine_linear.
  std::optional<Pattern> Match(NodeId forward) const {
    if (node(forward).op != "cosine_linear") return std::nullopt;
    Pattern p;
    p.forward = forward;
    const TensorId cos = node(forward).outputs[0];
    for (NodeId reader : context_.Consumers(cos)) {
      NodeId* const part = ReaderOfCosines(node(reader).op, &p);
      if (part == nullptr || *part != kNone) return std::nullopt;
      *part = reader;
    }
    for (NodeId part : {p.max, p.sum, p.loss, p.gradient}) {
      if (part == kNone || !(node(part).attributes == node(p.max).attributes)) {
        return std::nullopt;
      }
    }
    if (node(p.max).attributes.Float("scale") > kLargestShiftedScale ||
        node(producer(node(forward).inputs[0])).op != "l2_normalize") {
      return std::nullopt;
    }
    const TensorId labels = node(p.max).inputs[1];
    const TensorId max = output(p.max), sum = output(p.sum);
    if (!Reads(p.max, {cos, labels}) || !Reads(p.sum, {cos, labels, max}) ||
        !Reads(p.loss, {cos, labels, max, sum}) ||
        !Reads(p.gradient, {cos, labels, max, sum}) ||
        !OnlyReadBy(max, {p.sum, p.loss, p.gradient}) ||
        !OnlyReadBy(sum, {p.loss, p.gradient})) {
      return std::nullopt;
    }
    if (!MatchGradients(&p)) return std::nullopt;
    return p;
  }

 private:
  const Node& node(NodeId id) const { return context_.graph().nodes[id]; }
  NodeId producer(TensorId id) const {
    return context_.graph().tensors[id].producer;
  }
  TensorId output(NodeId id) const { return node(id).outputs[0]; }
  bool Reads(NodeId id, const std::vector<TensorId>& first) const {
    return std::equal(first.begin(), first.end(), node(id).inputs.begin());
  }
  bool OnlyReadBy(TensorId tensor, const std::vector<NodeId>& nodes) const {
    const std::vector<NodeId> readers = context_.Consumers(tensor);
    return std::all_of(readers.begin(), readers.end(), [&](NodeId reader) {
      return std::find(nodes.begin(), nodes.end(), reader) != nodes.end();
    });
  }

  static NodeId* ReaderOfCosines(absl::string_view op, Pattern* p) {
    if (op == "margin_softmax_max") return &p->max;
    if (op == "margin_softmax_sum") return &p->sum;
    if (op == "margin_softmax_loss") return &p->loss;
    if (op == "margin_softmax_grad") return &p->gradient;
    return nullptr;
  }

  // What becomes of dcos. All products must be as the forward one, which is
  // made again for them.
  bool MatchGradients(Pattern* p) const {
    const Node& forward = node(p->forward);
    const TensorId x = forward.inputs[0], w = forward.inputs[1];
    const TensorId dcos = output(p->gradient);
    for (NodeId reader : context_.Consumers(dcos)) {
      const Node& n = node(reader);
      if (n.op == "square_norm" && OnlyFindsOverflow(context_, n.outputs[0])) {
        p->square_norms.push_back(reader);
      } else if (n.op == "cosine_linear_grad_input" && p->grad_input == kNone &&
                 Reads(reader, {dcos, w}) && IsAlike(n, forward)) {
        p->grad_input = reader;
      } else if (n.op == "cosine_linear_sgd" && p->sgd == kNone &&
                 n.inputs[0] == w && n.inputs[2] == x && n.inputs[3] == dcos &&
                 IsAlike(n, forward)) {
        p->sgd = reader;
      } else {
        return false;
      }
    }
    return p->grad_input != kNone && p->sgd != kNone;
  }
  static bool IsAlike(const Node& a, const Node& b) {
    return a.attributes.Float("eps") == b.attributes.Float("eps") &&
           a.attributes.Bool(kMayRound) == b.attributes.Bool(kMayRound);
  }

  const FusionContext& context_;
};

absl::Status Rewrite(const Pattern& p, FusionContext* context) {
  // Copies: adding nodes moves the graph's storage.
  const Node forward = context->graph().nodes[p.forward];
  const Node gradient = context->graph().nodes[p.gradient];
  const Node sgd = context->graph().nodes[p.sgd];
  const TensorId x = forward.inputs[0], w = forward.inputs[1];
  const TensorId labels = gradient.inputs[1], dloss = gradient.inputs[4];
  auto output = [&](NodeId id) {
    return context->graph().nodes[id].outputs[0];
  };
  Attributes attributes = gradient.attributes;
  for (const auto& [name, value] : forward.attributes.values()) {
    attributes.Set(name, value);
  }
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> sums,
      context->Add("cosine_softmax_sum", {x, w, labels}, attributes, p.sum));
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> loss,
      context->Add("cosine_softmax_loss", {sums[0], sums[1]}, {}, p.loss));
  ASSIGN_OR_RETURN(
      const std::vector<TensorId> dx,
      context->Add("cosine_softmax_grad_input", {x, w, labels, sums[0], dloss},
                   attributes, p.grad_input));
  std::vector<TensorId> inputs = {w, sgd.inputs[1], x, labels, sums[0], dloss};
  inputs.insert(inputs.end(), sgd.inputs.begin() + 4, sgd.inputs.end());
  for (const auto& [name, value] : sgd.attributes.values()) {
    attributes.Set(name, value);
  }
  RETURN_IF_ERROR(
      context->Add("cosine_softmax_sgd", inputs, attributes, p.sgd).status());
  for (NodeId old : p.square_norms) {
    ASSIGN_OR_RETURN(const std::vector<TensorId> norm,
                     context->Add("square_norm", {dx[0]}, {}, old));
    context->Redirect(output(old), norm[0]);
    context->Drop(old);
  }
  context->Redirect(output(p.loss), loss[0]);
  context->Redirect(output(p.grad_input), dx[0]);
  // Readers before what they read.
  for (NodeId old :
       {p.sgd, p.grad_input, p.gradient, p.loss, p.sum, p.max, p.forward}) {
    context->Drop(old);
  }
  context->Log(absl::StrCat(
      forward.name,
      " is made again, group by group of classes: ", "cosine_softmax"));
  return absl::OkStatus();
}

}  // namespace

absl::Status FuseCosineSoftmax(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) { return Matcher(*context).Match(anchor); },
      [&](const Pattern& p) { return Rewrite(p, context); });
}

}  // namespace facet::ops
