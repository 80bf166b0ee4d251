// From
//
//   wn = l2_normalize(w)                  w: a variable, or rows of one
//   y  = matmul(x, wn, transpose_b)       -> cosine_linear(x, w)
//   dx = matmul(dy, wn)                   -> cosine_linear_grad_input(dy, w)
//   dwn = matmul(dy, x, transpose_a)
//   dw = l2_normalize_grad(dwn, w)
//   sgd_update(w, m, dw, scalars...)      -> cosine_linear_sgd(w, m, x, dy,
//                                                              scalars...)
//   overflow(... square_norm(dw) ...)     -> overflow(... square_norm(dy) ...)
//
// Where w = gather_rows(v, rows), the update is sgd_update_rows(v, m, rows, dw,
// scalars...), and becomes cosine_linear_sgd_rows(v, m, rows, x, dy,
// scalars...); likewise for lazily updated rows.
//
// dx and the last four lines may be absent (no training of x, or of w, or
// inference). The last line is dynamic loss scaling: dw does not exist any
// more, but a finite dy makes a finite dw, as wn and x are finite. Any other
// use of wn, dwn or dw, as clipping by the norm of dw, needs the values, and
// then nothing is rewritten.
#include "ops/cosine_linear/fuse.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/loss_scale/only_finds_overflow.h"
#include "ops/may_round_attribute.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// An update and what it becomes; its inputs stay, but for the gradient, in
// whose place x and dy come.
struct Update {
  absl::string_view op;
  size_t gradient;  // Index of that input.
  absl::string_view fused;
  // What made w; its first input is what is updated, if that is not w.
  absl::string_view source;
};
constexpr Update kUpdates[] = {
    {"sgd_update", 2, "cosine_linear_sgd", "variable"},
    {"sgd_update_rows", 3, "cosine_linear_sgd_rows", "gather_rows"},
    {"sgd_update_rows_lazily", 5, "cosine_linear_sgd_rows_lazily",
     "gather_rows_lazily"},
};

struct Pattern {
  const Update* update = nullptr;
  NodeId normalize = kNone;
  NodeId forward = kNone;
  NodeId grad_input = kNone;      // kNone: x gets no gradient.
  NodeId weight_product = kNone;  // dwn. kNone: w gets no gradient.
  NodeId weight_gradient = kNone;
  NodeId sgd = kNone;
  std::vector<NodeId> square_norms;  // Of dw.
  TensorId dy = kNone;
};

class Matcher {
 public:
  explicit Matcher(const FusionContext& context) : context_(context) {}

  // The pattern around this matmul.
  std::optional<Pattern> Match(NodeId forward) const {
    Pattern p;
    p.forward = forward;
    if (!IsMatmul(forward, false, true)) return std::nullopt;
    const TensorId x = node(forward).inputs[0];
    const TensorId wn = node(forward).inputs[1];
    p.normalize = producer(wn);
    if (x == wn || node(p.normalize).op != "l2_normalize") return std::nullopt;
    const TensorId w = node(p.normalize).inputs[0];
    for (const Update& update : kUpdates) {
      if (node(producer(w)).op == update.source) p.update = &update;
    }
    if (p.update == nullptr) return std::nullopt;
    // With fewer classes than rows the gradient is smaller than x and dy, and
    // data parallelism, which the unfused ops allow, wants it.
    if (type(wn).shape[0] <= type(x).shape[0]) return std::nullopt;
    for (NodeId reader : context_.Consumers(wn)) {
      if (reader == forward) continue;
      if (p.grad_input != kNone || !IsMatmul(reader, false, false) ||
          node(reader).inputs[1] != wn || node(reader).inputs[0] == wn) {
        return std::nullopt;
      }
      p.grad_input = reader;
      p.dy = node(reader).inputs[0];
    }
    if (!MatchWeightGradient(x, w, &p)) return std::nullopt;
    return p;
  }

 private:
  const Node& node(NodeId id) const { return context_.graph().nodes[id]; }
  const TensorType& type(TensorId id) const {
    return context_.graph().tensors[id].type;
  }
  NodeId producer(TensorId id) const {
    return context_.graph().tensors[id].producer;
  }
  bool IsMatmul(NodeId id, bool transpose_a, bool transpose_b) const {
    return node(id).op == "matmul" &&
           type(node(id).outputs[0]).dtype == DataType::kFloat32 &&
           node(id).attributes.Bool("transpose_a") == transpose_a &&
           node(id).attributes.Bool("transpose_b") == transpose_b;
  }

  // Fills in the rest; true if it is complete or not there at all.
  bool MatchWeightGradient(TensorId x, TensorId w, Pattern* p) const {
    for (NodeId reader : context_.Consumers(w)) {
      if (node(reader).op != "l2_normalize_grad") continue;
      if (p->weight_gradient != kNone || node(reader).inputs[1] != w ||
          node(reader).inputs[0] == w) {
        return false;
      }
      p->weight_gradient = reader;
    }
    if (p->weight_gradient == kNone) return true;
    const Node& gradient = node(p->weight_gradient);
    if (gradient.attributes.Float("eps") !=
        node(p->normalize).attributes.Float("eps")) {
      return false;
    }
    const TensorId dwn = gradient.inputs[0];
    p->weight_product = producer(dwn);
    if (!IsMatmul(p->weight_product, true, false) ||
        node(p->weight_product).inputs[1] != x ||
        context_.Consumers(dwn).size() != 1) {
      return false;
    }
    const TensorId dy = node(p->weight_product).inputs[0];
    if (p->dy != kNone && p->dy != dy) return false;
    p->dy = dy;
    return MatchUpdate(w, gradient.outputs[0], p);
  }

  bool MatchUpdate(TensorId w, TensorId dw, Pattern* p) const {
    for (NodeId reader : context_.Consumers(dw)) {
      const Node& n = node(reader);
      if (n.op == "square_norm" && OnlyFindsOverflow(context_, n.outputs[0])) {
        p->square_norms.push_back(reader);
      } else if (p->sgd == kNone && IsUpdate(n, w, dw, *p->update)) {
        p->sgd = reader;
      } else {
        return false;
      }
    }
    return p->sgd != kNone;
  }

  bool IsUpdate(const Node& n, TensorId w, TensorId dw,
                const Update& update) const {
    if (n.op != update.op || n.inputs[update.gradient] != dw) return false;
    const Node& source = node(producer(w));
    if (source.inputs.empty()) return n.inputs[0] == w;
    // The same rows of the same variable.
    return n.inputs[0] == source.inputs[0] &&
           n.inputs[update.gradient - 1] == source.inputs[1];
  }

  const FusionContext& context_;
};

absl::Status Rewrite(const Pattern& p, FusionContext* context) {
  // Copies: adding nodes moves the graph's storage.
  const Node forward = context->graph().nodes[p.forward];
  const Node normalize = context->graph().nodes[p.normalize];
  const TensorId x = forward.inputs[0];
  const TensorId w = normalize.inputs[0];
  const double eps = normalize.attributes.Float("eps");
  auto replace = [&](NodeId old, absl::string_view op,
                     absl::Span<const TensorId> inputs,
                     Attributes attributes) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<TensorId> outputs,
                     context->Add(op, inputs, std::move(attributes), old));
    const std::vector<TensorId> old_outputs =
        context->graph().nodes[old].outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      context->Redirect(old_outputs[i], outputs[i]);
    }
    context->Drop(old);
    return absl::OkStatus();
  };
  // Each product keeps its precision.
  auto may_round = [&](NodeId matmul) {
    return context->graph().nodes[matmul].attributes.Bool(kMayRound);
  };
  RETURN_IF_ERROR(replace(p.forward, "cosine_linear", {x, w},
                          {{"eps", eps}, {kMayRound, may_round(p.forward)}}));
  std::string what = "cosine_linear";
  if (p.grad_input != kNone) {
    RETURN_IF_ERROR(
        replace(p.grad_input, "cosine_linear_grad_input", {p.dy, w},
                {{"eps", eps}, {kMayRound, may_round(p.grad_input)}}));
    absl::StrAppend(&what, ", cosine_linear_grad_input");
  }
  if (p.sgd != kNone) {
    const Node sgd = context->graph().nodes[p.sgd];
    std::vector<TensorId> inputs = sgd.inputs;
    const auto gradient = inputs.begin() + p.update->gradient;
    *gradient = p.dy;
    inputs.insert(gradient, x);
    Attributes attributes = sgd.attributes;
    attributes.Set("eps", eps);
    attributes.Set(kMayRound, may_round(p.weight_product));
    RETURN_IF_ERROR(
        replace(p.sgd, p.update->fused, inputs, std::move(attributes)));
    for (NodeId square_norm : p.square_norms) {
      RETURN_IF_ERROR(replace(square_norm, "square_norm", {p.dy}, {}));
    }
    context->Drop(p.weight_gradient);
    context->Drop(p.weight_product);
    absl::StrAppend(&what, ", ", p.update->fused);
  }
  context->Drop(p.normalize);
  context->Log(
      absl::StrCat(forward.name, " and ", normalize.name, " became: ", what));
  return absl::OkStatus();
}

}  // namespace

absl::Status FuseCosineLinear(FusionContext* context) {
  return context->RewriteAll(
      [&](NodeId anchor) { return Matcher(*context).Match(anchor); },
      [&](const Pattern& p) { return Rewrite(p, context); });
}

}  // namespace facet::ops
