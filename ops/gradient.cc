#include "ops/gradient.h"

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {

GradientContext::GradientContext(GraphBuilder* builder, NodeId node,
                                 std::vector<TensorId> output_gradients)
    : builder_(builder),
      node_(builder->graph().nodes[node]),
      output_gradients_(std::move(output_gradients)),
      wanted_(node_.inputs.size(), true),
      input_gradients_(node_.inputs.size(), kNone) {
  CHECK_EQ(output_gradients_.size(), node_.outputs.size());
}

absl::StatusOr<std::vector<TensorId>> GradientContext::Add(
    absl::string_view op, absl::Span<const TensorId> inputs,
    Attributes attributes) {
  Origin origin = node_.origin;
  origin.phase = Phase::kBackward;
  builder_->set_origin(std::move(origin));
  return builder_->Add(op, absl::StrCat(node_.name, "/", op), inputs,
                       std::move(attributes));
}

void GradientContext::set_input_gradient(int i, TensorId gradient) {
  CHECK_EQ(input_gradients_[i], kNone) << node_.name << " input " << i;
  const TensorType& want = builder_->type(node_.inputs[i]);
  const TensorType& got = builder_->type(gradient);
  const bool stored_in_less =
      IsHalf(want.dtype) && got == TensorType{DataType::kFloat32, want.shape};
  CHECK(want == got || stored_in_less)
      << node_.name << " input " << i << ": gradient is " << got.ToString()
      << ", input is " << want.ToString();
  input_gradients_[i] = gradient;
}

void GradientContext::set_input_row_gradient(int i, RowGradient gradient) {
  CHECK_EQ(input_gradients_[i], kNone) << node_.name << " input " << i;
  const Shape& variable = builder_->type(node_.inputs[i]).shape;
  const Shape& rows = builder_->type(gradient.rows).shape;
  const TensorType& got = builder_->type(gradient.gradient);
  CHECK(got ==
        (TensorType{DataType::kFloat32, {rows.num_elements(), variable[1]}}))
      << node_.name << " input " << i << ": row gradient is " << got.ToString();
  input_gradients_[i] = gradient.gradient;
  row_gradients_.emplace(i, std::move(gradient));
}

const GradientContext::RowGradient* GradientContext::input_row_gradient(
    int i) const {
  auto it = row_gradients_.find(i);
  return it == row_gradients_.end() ? nullptr : &it->second;
}

}  // namespace facet::ops
