// Batch norm with an addition behind it, against the plain definitions.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/batch_norm/reference.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

using namespace batch_norm_reference;  // NOLINT

// in: x, addend, sum, square_sum, scale, bias.
std::vector<Values> ForwardReference(const Attributes& attributes,
                                     const std::vector<TensorType>& types,
                                     const std::vector<Values>& in) {
  Values y = BatchNormReference(attributes, types,
                                {in[0], in[2], in[3], in[4], in[5]})[0];
  for (size_t i = 0; i < y.size(); ++i) y[i] += in[1][i];
  std::vector<Values> sums =
      Statistics(types[0].shape, attributes.Int("groups"), y);
  return {y, sums[0], sums[1]};
}

// in: dy, x, addend, sum, square_sum, scale, bias_grad, scale_grad.
std::vector<Values> GradInputReferenceOf(const Attributes& attributes,
                                         const std::vector<TensorType>& types,
                                         const std::vector<Values>& in) {
  Values dx = GradInputReference(
      attributes, types, {in[0], in[1], in[3], in[4], in[5], in[6], in[7]})[0];
  for (size_t i = 0; i < dx.size(); ++i) dx[i] += in[2][i];
  return {dx};
}

OpCase ForwardCase(const Case& c) {
  const TensorType x = Float32(c.shape);
  const TensorType per_group = Float32({c.groups, c.shape[1]});
  const TensorType per_channel = Float32({c.shape[1]});
  OpCase result = {"batch_norm_add",
                   Groups(c),
                   {x, x, per_group, per_group, per_channel, per_channel},
                   {{-1, 3}, {}, {}, {}, {0.5, 2}, {}}};
  result.derive_inputs = DeriveStatistics(c, 0, 2);
  return result;
}

TEST(BatchNormAdd, MatchesReference) {
  for (const Case& c : Cases()) {
    OpCase forward = ForwardCase(c);
    forward.tolerance = 3e-5;
    ExpectMatchesReference(forward, ForwardReference);
  }
}

TEST(BatchNormAdd, GradientsMatchReference) {
  for (const Case& c : Cases()) {
    const TensorType x = Float32(c.shape);
    const TensorType per_group = Float32({c.groups, c.shape[1]});
    OpCase input = {"batch_norm_grad_input_add",
                    Groups(c),
                    {x, x, x, per_group, per_group, Float32({c.shape[1]}),
                     per_group, per_group},
                    {{}, {-1, 3}, {}, {}, {}, {0.5, 2}}};
    input.derive_inputs = DeriveStatistics(c, 1, 3);
    ExpectMatchesReference(input, GradInputReferenceOf);
  }
}

// By y; nothing flows to the statistics.
TEST(BatchNormAdd, GradientRuleIsTheDerivative) {
  for (const Case& c : {Case{{4, 3, 2, 3}, 1}, Case{{5, 2, 2, 2}, 2},
                        Case{{6, 3}, 1}, Case{{7, 3}, 3}}) {
    ExpectGradientMatches(
        ForwardCase(c),
        [](const Attributes& attributes, const std::vector<TensorType>& types,
           const std::vector<Values>& in) {
          std::vector<Values> outputs = ForwardReference(attributes, types, in);
          for (int sums : {1, 2}) outputs[sums].assign(outputs[sums].size(), 0);
          return outputs;
        },
        {0, 1, 4, 5});
  }
}

}  // namespace
}  // namespace facet::ops
