// GradientContext: what an op's gradient rule works with. The pass that calls
// the rules is placement/passes/autodiff.
#ifndef FACET_OPS_GRADIENT_H_
#define FACET_OPS_GRADIENT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ops/graph_builder.h"

namespace facet::ops {

// Example, y = x * c:
//   ASSIGN_OR_RETURN(std::vector<TensorId> dx,
//       context->Add("scale", {context->output_gradient(0)},
//                    {{"factor", c}}));
//   context->set_input_gradient(0, dx[0]);
class GradientContext {
 public:
  // `output_gradients`: by output, kNone where no gradient arrives.
  GradientContext(GraphBuilder* builder, NodeId node,
                  std::vector<TensorId> output_gradients);

  // A copy: adding nodes moves the graph's storage.
  const Attributes& attributes() const { return node_.attributes; }
  TensorId input(int i) const { return node_.inputs[i]; }
  TensorId output(int i) const { return node_.outputs[i]; }
  int num_inputs() const { return static_cast<int>(node_.inputs.size()); }
  const TensorType& type(TensorId tensor) const {
    return builder_->type(tensor);
  }
  // Gradient of the loss by output i; kNone if the loss does not depend on it.
  TensorId output_gradient(int i) const { return output_gradients_[i]; }
  // False where nobody wants it (it leads to no trainable variable): a rule
  // may save the work.
  bool wants_input_gradient(int i) const { return wanted_[i]; }
  void set_wanted(std::vector<bool> wanted) { wanted_ = std::move(wanted); }

  // Adds a node named after this one ("<node>/<op>"), phase backward, same
  // layer and part.
  absl::StatusOr<std::vector<TensorId>> Add(absl::string_view op,
                                            absl::Span<const TensorId> inputs,
                                            Attributes attributes = {});

  // Same shape and dtype as the input; or float32, by a variable that is stored
  // in less. At most once per input.
  void set_input_gradient(int i, TensorId gradient);
  TensorId input_gradient(int i) const { return input_gradients_[i]; }

  // The gradient by a matrix, input i, of which only some rows are not 0: row
  // j of `gradient` [R, D] belongs to row j of what gather_rows makes of input
  // i and `rows`. Instead of set_input_gradient, and only where input i is a
  // variable that nothing else reads; its optimizer then updates these rows
  // alone. If it does so lazily, this node becomes `lazy_op`, with the
  // optimizer's momentum, updated and history as further inputs, and must see
  // what the rows would be by now.
  struct RowGradient {
    TensorId rows = kNone;  // int32 [G, K]
    TensorId gradient = kNone;
    std::string lazy_op;
  };
  void set_input_row_gradient(int i, RowGradient gradient);
  // Null if the input has none.
  const RowGradient* input_row_gradient(int i) const;

 private:
  GraphBuilder* builder_;
  Node node_;
  std::vector<TensorId> output_gradients_;
  std::vector<bool> wanted_;
  std::vector<TensorId> input_gradients_;
  std::map<int, RowGradient> row_gradients_;  // By input.
};

}  // namespace facet::ops

#endif  // FACET_OPS_GRADIENT_H_
