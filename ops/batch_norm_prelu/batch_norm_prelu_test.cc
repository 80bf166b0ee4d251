// Batch norm with PReLU behind it, against the plain definitions of the two.

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

// in: x, sum, square_sum, scale, bias, alpha.
std::vector<Values> ForwardReference(const Attributes& attributes,
                                     const std::vector<TensorType>& types,
                                     const std::vector<Values>& in) {
  Values y = BatchNormReference(attributes, types, in)[0];
  ForEachElement(types[0].shape, attributes.Int("groups"),
                 [&](int64_t i, int64_t, int64_t c, double) {
                   if (y[i] <= 0) y[i] *= in[5][c];
                 });
  return {y};
}

// What reaches the batch norm of dy, and alpha's gradient by group. in: dy, x,
// sum, square_sum, scale, bias, alpha.
struct Through {
  Values dv, alpha_grad;
};
Through ThroughPrelu(const Attributes& attributes,
                     const std::vector<TensorType>& types,
                     const std::vector<Values>& in) {
  const Values v = BatchNormReference(attributes, {types[1]},
                                      {in[1], in[2], in[3], in[4], in[5]})[0];
  Through result{in[0], Values(in[2].size())};
  ForEachElement(types[1].shape, attributes.Int("groups"),
                 [&](int64_t i, int64_t s, int64_t c, double) {
                   if (v[i] > 0) return;
                   result.alpha_grad[s] += in[0][i] * v[i];
                   result.dv[i] *= in[6][c];
                 });
  return result;
}

std::vector<Values> GradStatisticsReferenceOf(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& in) {
  const Through through = ThroughPrelu(attributes, types, in);
  std::vector<Values> sums = GradStatisticsReference(
      attributes, types, {through.dv, in[1], in[2], in[3]});
  sums.push_back(through.alpha_grad);
  return sums;
}

std::vector<Values> GradInputReferenceOf(const Attributes& attributes,
                                         const std::vector<TensorType>& types,
                                         const std::vector<Values>& in) {
  const Through through = ThroughPrelu(attributes, types, in);
  return GradInputReference(
      attributes, types,
      {through.dv, in[1], in[2], in[3], in[4], in[7], in[8]});
}

// Of `op`, whose activations come first and x last among them.
OpCase MakeCase(const std::string& op, const Case& c, int activations,
                int more) {
  const TensorType per_group = Float32({c.groups, c.shape[1]});
  const TensorType per_channel = Float32({c.shape[1]});
  OpCase result{op, Groups(c), {}, {}};
  for (int i = 0; i < activations; ++i) {
    result.inputs.push_back(Float32(c.shape));
    result.domains.push_back(i + 1 == activations ? InputDomain{-1, 3}
                                                  : InputDomain{});
  }
  for (int i = 0; i < 2; ++i) result.inputs.push_back(per_group);
  for (int i = 0; i < 3; ++i) result.inputs.push_back(per_channel);
  result.domains.resize(activations + 2);
  result.domains.push_back({0.5, 2});
  for (int i = 0; i < more; ++i) result.inputs.push_back(per_group);
  result.domains.resize(result.inputs.size());
  result.derive_inputs = DeriveStatistics(c, activations - 1, activations);
  return result;
}

TEST(BatchNormPrelu, MatchesReference) {
  for (const Case& c : Cases()) {
    ExpectMatchesReference(MakeCase("batch_norm_prelu", c, 1, 0),
                           ForwardReference);
  }
}

TEST(BatchNormPrelu, GradientsMatchReference) {
  for (const Case& c : Cases()) {
    OpCase statistics = MakeCase("batch_norm_prelu_grad_statistics", c, 2, 0);
    statistics.tolerance = 3e-5;
    ExpectMatchesReference(statistics, GradStatisticsReferenceOf);
    ExpectMatchesReference(MakeCase("batch_norm_prelu_grad_input", c, 2, 2),
                           GradInputReferenceOf);
  }
}

// With the paths through the statistics, for any number of groups.
TEST(BatchNormPrelu, GradientRuleIsTheDerivative) {
  for (const Case& c : {Case{{4, 3, 2, 3}, 1}, Case{{5, 2, 2, 2}, 2},
                        Case{{6, 3}, 1}, Case{{7, 3}, 3}}) {
    ExpectGradientMatches(MakeCase("batch_norm_prelu", c, 1, 0),
                          ForwardReference, {0, 3, 4, 5});
  }
}

}  // namespace
}  // namespace facet::ops
