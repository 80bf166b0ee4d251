// GradientContext: what an op's gradient rule works with. The pass that calls
// the rules is placement/passes/autodiff.
#ifndef FACET_OPS_GRADIENT_H_
#define FACET_OPS_GRADIENT_H_

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

  // Same shape and dtype as the input. At most once per input.
  void set_input_gradient(int i, TensorId gradient);
  TensorId input_gradient(int i) const { return input_gradients_[i]; }

 private:
  GraphBuilder* builder_;
  Node node_;
  std::vector<TensorId> output_gradients_;
  std::vector<bool> wanted_;
  std::vector<TensorId> input_gradients_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_GRADIENT_H_
