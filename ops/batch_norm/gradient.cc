#include "ops/batch_norm/gradient.h"

#include <vector>

#include "ops/status_macros.h"

namespace facet::ops {

absl::Status SetChannelGradients(
    absl::Span<const std::pair<int, TensorId>> by_group,
    GradientContext* context) {
  for (const auto& [input, gradient] : by_group) {
    if (!context->wants_input_gradient(input)) continue;
    ASSIGN_OR_RETURN(
        std::vector<TensorId> total,
        context->Add("reduce_sum", {gradient}, {{"axis", int64_t{0}}}));
    context->set_input_gradient(input, total[0]);
  }
  return absl::OkStatus();
}

absl::Status BatchNormGradient(int sum_input, GradientContext* context) {
  const TensorId dy = context->output_gradient(0);
  const TensorId x = context->input(0);
  const TensorId sum = context->input(sum_input);
  const TensorId square_sum = context->input(sum_input + 1);
  const TensorId scale = context->input(sum_input + 2);
  ASSIGN_OR_RETURN(
      std::vector<TensorId> sums,
      context->Add("batch_norm_grad_statistics", {dy, x, sum, square_sum},
                   context->attributes()));
  const TensorId bias_grad = sums[0];
  const TensorId scale_grad = sums[1];
  if (context->wants_input_gradient(0)) {
    ASSIGN_OR_RETURN(
        std::vector<TensorId> dx,
        context->Add("batch_norm_grad_input",
                     {dy, x, sum, square_sum, scale, bias_grad, scale_grad},
                     context->attributes()));
    context->set_input_gradient(0, dx[0]);
  }
  return SetChannelGradients(
      {{sum_input + 2, scale_grad}, {sum_input + 3, bias_grad}}, context);
}

}  // namespace facet::ops
