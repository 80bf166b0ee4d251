#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The statistics and gradients of the logits that the cosines make.
struct Logits {
  int64_t rows, columns;
  double scale, m1, m2, m3;
  bool exact;
  Values cos, labels, value;

  Logits(const Attributes& attributes, const TensorType& type, Values cosines,
         Values targets)
      : rows(type.shape[0]),
        columns(type.shape[1]),
        scale(attributes.Float("scale")),
        m1(attributes.Float("m1")),
        m2(attributes.Float("m2")),
        m3(attributes.Float("m3")),
        exact(attributes.String("gradient") == "exact"),
        cos(std::move(cosines)),
        labels(std::move(targets)),
        value(cos.size()) {
    for (size_t i = 0; i < cos.size(); ++i) {
      const double c = std::clamp(cos[i], -1.0, 1.0);
      value[i] = IsTarget(i) ? scale * (std::cos(m1 * std::acos(c) + m2) - m3)
                             : scale * c;
    }
  }
  bool IsTarget(size_t i) const {
    return static_cast<int64_t>(i) % columns ==
           static_cast<int64_t>(labels[i / columns]);
  }
  // d value / d cos.
  double Slope(size_t i) const {
    if (cos[i] < -1 || cos[i] > 1) return 0;
    if (!IsTarget(i) || !exact) return scale;
    return scale * m1 * std::sin(m1 * std::acos(cos[i]) + m2) /
           std::sqrt(1 - cos[i] * cos[i]);
  }
  Values Max() const {
    Values max(rows, -kInfinity);
    for (size_t i = 0; i < value.size(); ++i) {
      max[i / columns] = std::max(max[i / columns], value[i]);
    }
    return max;
  }
  Values SumExp(const Values& max) const {
    Values sum(rows);
    for (size_t i = 0; i < value.size(); ++i) {
      sum[i / columns] += std::exp(value[i] - max[i / columns]);
    }
    return sum;
  }
};

std::vector<Values> MaxReference(const Attributes& attributes,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs) {
  return {Logits(attributes, types[0], inputs[0], inputs[1]).Max()};
}

std::vector<Values> SumReference(const Attributes& attributes,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs) {
  return {Logits(attributes, types[0], inputs[0], inputs[1]).SumExp(inputs[2])};
}

std::vector<Values> LossReference(const Attributes& attributes,
                                  const std::vector<TensorType>& types,
                                  const std::vector<Values>& inputs) {
  const Logits logits(attributes, types[0], inputs[0], inputs[1]);
  double loss = 0;
  for (size_t i = 0; i < logits.value.size(); ++i) {
    const int64_t row = i / logits.columns;
    if (!logits.IsTarget(i)) continue;
    loss += std::log(inputs[3][row]) + inputs[2][row] - logits.value[i];
  }
  return {{loss / static_cast<double>(logits.rows)}};
}

std::vector<Values> GradientReference(const Attributes& attributes,
                                      const std::vector<TensorType>& types,
                                      const std::vector<Values>& inputs) {
  const Logits logits(attributes, types[0], inputs[0], inputs[1]);
  Values dcos(logits.value.size());
  for (size_t i = 0; i < dcos.size(); ++i) {
    const int64_t row = i / logits.columns;
    const double p =
        std::exp(logits.value[i] - inputs[2][row]) / inputs[3][row];
    dcos[i] = (p - (logits.IsTarget(i) ? 1 : 0)) * logits.Slope(i) *
              inputs[4][0] / static_cast<double>(logits.rows);
  }
  return {dcos};
}

OpCase Case(const char* op, int64_t rows, int64_t columns, int num_inputs,
            double m1, double m2, double m3, const char* gradient) {
  const std::vector<TensorType> types = {{kFloat32, {rows, columns}},
                                         {DataType::kInt32, {rows}},
                                         {kFloat32, {rows}},
                                         {kFloat32, {rows}},
                                         {kFloat32, {}}};
  const std::vector<InputDomain> domains = {
      {-1.2, 1.2}, {0, static_cast<double>(columns)}, {}, {}, {1, 2}};
  OpCase op_case;
  op_case.op = op;
  op_case.attributes = {{"m1", m1},
                        {"m2", m2},
                        {"m3", m3},
                        {"scale", 32.0},
                        {"gradient", std::string(gradient)}};
  op_case.inputs.assign(types.begin(), types.begin() + num_inputs);
  op_case.domains.assign(domains.begin(), domains.begin() + num_inputs);
  op_case.derive_inputs = [attributes = op_case.attributes,
                           type = types[0]](std::vector<Values>* inputs) {
    if (inputs->size() < 3) return;
    const Logits logits(attributes, type, (*inputs)[0], (*inputs)[1]);
    (*inputs)[2] = logits.Max();
    if (inputs->size() > 3) (*inputs)[3] = logits.SumExp((*inputs)[2]);
  };
  return op_case;
}

// Rows of one chunk, one block and several; with and without a margin by angle.
void ExpectValues(const char* op, int num_inputs, const Reference& reference) {
  for (int64_t columns : {2, 13, 1024, 1025, 8192, 20001}) {
    ExpectMatchesReference(Case(op, 5, columns, num_inputs, 1, 0.5, 0, "exact"),
                           reference);
  }
  ExpectMatchesReference(
      Case(op, 7, 1100, num_inputs, 1, 0, 0.4, "as_arcface_torch"), reference);
  ExpectMatchesReference(Case(op, 7, 300, num_inputs, 1.3, 0.2, 0.1, "exact"),
                         reference);
}

TEST(MarginSoftmaxTest, Max) {
  ExpectValues("margin_softmax_max", 2, MaxReference);
}
TEST(MarginSoftmaxTest, Sum) {
  ExpectValues("margin_softmax_sum", 3, SumReference);
}
TEST(MarginSoftmaxTest, Loss) {
  ExpectValues("margin_softmax_loss", 4, LossReference);
}
TEST(MarginSoftmaxTest, Gradient) {
  ExpectValues("margin_softmax_grad", 5, GradientReference);
}

// Classes 1,000 to 2,999 of 4,000 are here: the targets of rows 0 and 2.
class PartOfTheClasses : public testing::Test {
 protected:
  PartOfTheClasses() : labels_(HostValue::Whole({DataType::kInt32, {3}})) {
    TensorSlice slice;
    slice.shape = {3, 2000};
    slice.global_shape = {3, 4000};
    slice.offset = {0, 1000};
    cos_ = HostValue(slice);
    cos_.FromDoubles(RandomValues({kFloat32, {3, 2000}}, {-1.1, 1.1}, 3));
    labels_.FromDoubles({1000, 3000, 2999});
    per_row_ = HostValue::Whole({kFloat32, {3}}).slice();
    scalar_ = HostValue::Whole({kFloat32, {}}).slice();
  }
  absl::StatusOr<HostValue> Try(const char* op, std::vector<HostValue> inputs,
                                const TensorSlice& output,
                                bool in_place = false) {
    RunOptions options;
    if (in_place) options.in_place = {{0, 0}};
    auto outputs = RunOp(*FindOp(op), attributes_, inputs, {output}, options,
                         CpuKernels());
    if (!outputs.ok()) return outputs.status();
    return (*outputs)[0];
  }
  HostValue Run(const char* op, std::vector<HostValue> inputs,
                const TensorSlice& output, bool in_place = false) {
    auto result = Try(op, std::move(inputs), output, in_place);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : HostValue(output);
  }
  Attributes attributes_;
  HostValue cos_, labels_;
  TensorSlice per_row_, scalar_;
};

// What stands for other ops gives their bits.
TEST_F(PartOfTheClasses, SameBitsAsWithLogits) {
  const HostValue logits =
      Run("combined_margin", {cos_, labels_}, cos_.slice());
  const HostValue max = Run("row_max", {logits}, per_row_);
  const HostValue sum = Run("row_sum_exp", {logits, max}, per_row_);
  EXPECT_TRUE(
      SameBits(Run("margin_softmax_max", {cos_, labels_}, per_row_), max));
  EXPECT_TRUE(
      SameBits(Run("margin_softmax_sum", {cos_, labels_, max}, per_row_), sum));
  EXPECT_TRUE(SameBits(
      Run("margin_softmax_loss", {cos_, labels_, max, sum}, scalar_),
      Run("softmax_cross_entropy", {logits, max, sum, labels_}, scalar_)));
  HostValue dloss(scalar_);
  dloss.FromDoubles({0.7});
  const HostValue dlogits =
      Run("softmax_cross_entropy_grad", {logits, max, sum, labels_, dloss},
          cos_.slice());
  const HostValue dcos =
      Run("combined_margin_grad", {dlogits, cos_, labels_}, cos_.slice());
  const std::vector<HostValue> inputs = {cos_, labels_, max, sum, dloss};
  EXPECT_TRUE(SameBits(Run("margin_softmax_grad", inputs, cos_.slice()), dcos));
  EXPECT_TRUE(SameBits(
      Run("margin_softmax_grad", inputs, cos_.slice(), /*in_place=*/true),
      dcos));
}

// A class that is masked out is in no statistic and has no gradient. (With a
// small scale, so that a logit of -scale would count.)
TEST_F(PartOfTheClasses, MaskedClasses) {
  attributes_.Set("scale", 1.0);
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t c = 500; c < 600; ++c) {
      cos_.as<float>()[row * 2000 + c] = -static_cast<float>(kInfinity);
    }
  }
  const HostValue max = Run("margin_softmax_max", {cos_, labels_}, per_row_);
  const HostValue sum =
      Run("margin_softmax_sum", {cos_, labels_, max}, per_row_);
  // The label of row 1 is elsewhere: all that is here is plain.
  double want = 0;
  for (int64_t c = 0; c < 2000; ++c) {
    if (c >= 500 && c < 600) continue;
    const double cosine = cos_.as<float>()[2000 + c];
    want += std::exp(std::clamp(cosine, -1.0, 1.0) - max.as<float>()[1]);
  }
  EXPECT_NEAR(sum.as<float>()[1], want, 1e-4 * want);
  HostValue dloss(scalar_);
  dloss.FromDoubles({1});
  const Values dcos =
      Run("margin_softmax_grad", {cos_, labels_, max, sum, dloss}, cos_.slice())
          .ToDoubles();
  for (int64_t row = 0; row < 3; ++row) {
    double rest = 0;
    for (int64_t c = 0; c < 2000; ++c) {
      const double value = dcos[row * 2000 + c];
      if (c >= 500 && c < 600) {
        EXPECT_EQ(value, 0) << row << " " << c;
      } else {
        ASSERT_TRUE(std::isfinite(value));
        rest += std::abs(value);
      }
    }
    EXPECT_GT(rest, 0);
  }
}

TEST_F(PartOfTheClasses, NotANumberShows) {
  cos_.as<float>()[2000 + 77] = std::nanf("");
  HostValue max(per_row_);
  max.FromDoubles({64, 64, 64});
  const Values sum =
      Run("margin_softmax_sum", {cos_, labels_, max}, per_row_).ToDoubles();
  EXPECT_TRUE(std::isfinite(sum[0]));
  EXPECT_TRUE(std::isnan(sum[1]));
}

TEST_F(PartOfTheClasses, RefusesLabelsThatAreNoClass) {
  labels_.FromDoubles({1000, 4000, 0});
  HostValue ones(per_row_);
  ones.FromDoubles({1, 1, 1});
  const auto loss =
      Try("margin_softmax_loss", {cos_, labels_, ones, ones}, scalar_);
  EXPECT_EQ(loss.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(loss.status().message())
                .find("label 4000 of row 1 is not in [0, 4000)"),
            std::string::npos)
      << loss.status();
}

}  // namespace
}  // namespace facet::ops
