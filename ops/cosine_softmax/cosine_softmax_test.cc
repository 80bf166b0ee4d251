// The oracle: the ops that these stand for, with a matrix of cosines.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/cosine_softmax/class_groups.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// The CPU's kernel of this op, which insists on the sizes it was made for.
KernelDef Strict(const char* op) {
  KernelDef def = *CpuKernels().find(op);
  def.create =
      [create = def.create](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(Kernel kernel, create(spec));
    return Kernel([kernel, spec](const KernelContext& context) {
      for (size_t i = 0; i < spec.inputs.size(); ++i) {
        EXPECT_EQ(context.inputs[i].shape(), spec.inputs[i].shape);
      }
      for (size_t i = 0; i < spec.outputs.size(); ++i) {
        EXPECT_EQ(context.outputs[i].shape(), spec.outputs[i].shape);
      }
      return kernel(context);
    });
  };
  return def;
}

// In groups of 64 classes.
HeadKernels SmallGroups(int64_t images) {
  const auto find = Strict;
  return {find("add"),
          find("fill"),
          find("cosine_linear"),
          find("cosine_linear_grad_input"),
          find("cosine_linear_sgd"),
          find("margin_softmax_sum"),
          find("margin_softmax_loss"),
          find("margin_softmax_grad"),
          64 * 4 * images};
}

constexpr int64_t kImages = 5;

const KernelDef* FindInSmallGroups(absl::string_view op) {
  static const auto& kernels = *new std::vector<KernelDef>{
      GroupedCosineSoftmaxSum(SmallGroups(kImages)),
      GroupedCosineSoftmaxGradInput(SmallGroups(kImages)),
      GroupedCosineSoftmaxSgd(SmallGroups(kImages))};
  if (op == "cosine_softmax_sum") return &kernels[0];
  if (op == "cosine_softmax_grad_input") return &kernels[1];
  if (op == "cosine_softmax_sgd") return &kernels[2];
  return CpuKernels().find(op);
}

std::vector<const KernelLibrary*> Libraries() {
  static constexpr KernelLibrary small_groups = {"cpu", FindInSmallGroups,
                                                 nullptr};
  std::vector<const KernelLibrary*> libraries =
      LibrariesToTest("cosine_softmax_sum");
  libraries.push_back(&small_groups);
  return libraries;
}

// 5 images and classes [offset, offset + c) of `all`.
class Head {
 public:
  Head(int64_t c, int64_t d, int64_t offset, int64_t all,
       DataType stored = kFloat32)
      : rows_(HostValue::Whole({kFloat32, {kImages}}).slice()),
        scalar_(HostValue::Whole({kFloat32, {}}).slice()),
        x_(HostValue::Whole({kFloat32, {kImages, d}})),
        labels_(HostValue::Whole({DataType::kInt32, {kImages}})),
        dloss_(scalar_),
        learning_rate_(scalar_) {
    TensorSlice slice;
    slice.dtype = stored;
    slice.shape = {c, d};
    slice.global_shape = {all, d};
    slice.offset = {offset, 0};
    w_ = HostValue(slice);
    slice.dtype = kFloat32;
    momentum_ = HostValue(slice);
    cosines_ = rows_;
    cosines_.shape = {kImages, c};
    cosines_.global_shape = {kImages, all};
    cosines_.offset = {0, offset};
    w_.FromDoubles(RandomValues({stored, {c, d}}, {-1, 1}, 1));
    momentum_.FromDoubles(RandomValues({kFloat32, {c, d}}, {-1, 1}, 2));
    Values x = RandomValues({kFloat32, {kImages, d}}, {-1, 1}, 3);
    for (double& value : x) value /= std::sqrt(static_cast<double>(d) / 3);
    x_.FromDoubles(x);
    labels_.FromDoubles(RandomValues({DataType::kInt32, {kImages}},
                                     {0, static_cast<double>(all)}, 4));
    dloss_.FromDoubles({0.7});
    learning_rate_.FromDoubles({0.3});
  }

  HostValue& x() { return x_; }
  HostValue& w() { return w_; }
  HostValue& labels() { return labels_; }

  std::vector<HostValue> Run(const char* op, std::vector<HostValue> inputs,
                             const std::vector<TensorSlice>& outputs,
                             const KernelLibrary& library = CpuKernels()) {
    auto results =
        RunOp(*FindOp(op), attributes_, inputs, outputs, {}, library);
    EXPECT_TRUE(results.ok()) << op << ": " << results.status();
    if (results.ok()) return *results;
    std::vector<HostValue> nothing;
    for (const TensorSlice& slice : outputs) nothing.emplace_back(slice);
    return nothing;
  }

  // loss, dx, w, momentum.
  struct Step {
    double loss;
    Values dx, w, momentum;
  };

  Step Stored() {
    const HostValue cos = Run("cosine_linear", {x_, w_}, {cosines_})[0];
    const HostValue max = Run("margin_softmax_max", {cos, labels_}, {rows_})[0];
    const HostValue sum =
        Run("margin_softmax_sum", {cos, labels_, max}, {rows_})[0];
    const HostValue loss =
        Run("margin_softmax_loss", {cos, labels_, max, sum}, {scalar_})[0];
    const HostValue dcos = Run("margin_softmax_grad",
                               {cos, labels_, max, sum, dloss_}, {cosines_})[0];
    const HostValue dx =
        Run("cosine_linear_grad_input", {dcos, w_}, {x_.slice()})[0];
    HostValue w = w_.Copy(), momentum = momentum_.Copy();
    Run("cosine_linear_sgd", {w, momentum, x_, dcos, learning_rate_}, {});
    return {loss.ToDoubles()[0], dx.ToDoubles(), w.ToDoubles(),
            momentum.ToDoubles()};
  }

  Step MadeAgain(const KernelLibrary& library) {
    const std::vector<HostValue> sums =
        Run("cosine_softmax_sum", {x_, w_, labels_}, {rows_, scalar_}, library);
    HostValue loss;
    Attributes none;
    std::swap(none, attributes_);
    loss = Run("cosine_softmax_loss", sums, {scalar_}, library)[0];
    std::swap(none, attributes_);
    const HostValue dx =
        Run("cosine_softmax_grad_input", {x_, w_, labels_, sums[0], dloss_},
            {x_.slice()}, library)[0];
    HostValue w = w_.Copy(), momentum = momentum_.Copy();
    Run("cosine_softmax_sgd",
        {w, momentum, x_, labels_, sums[0], dloss_, learning_rate_}, {},
        library);
    return {loss.ToDoubles()[0], dx.ToDoubles(), w.ToDoubles(),
            momentum.ToDoubles()};
  }

 private:
  Attributes attributes_ = {{"scale", 64.0}, {"m2", 0.5}};
  TensorSlice rows_, scalar_, cosines_;
  HostValue x_, w_, momentum_, labels_, dloss_, learning_rate_;
};

// Relative to the largest value, or to `least` if that is more.
void ExpectNear(const Values& got, const Values& want, double tolerance,
                double least = 0) {
  ASSERT_EQ(got.size(), want.size());
  double most = least;
  for (double value : want) most = std::max(most, std::abs(value));
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance * most) << "element " << i;
  }
}

void ExpectSameStep(Head* head, double tolerance = 1e-5) {
  const Head::Step want = head->Stored();
  for (const KernelLibrary* library : Libraries()) {
    SCOPED_TRACE(library->device_kind);
    const Head::Step got = head->MadeAgain(*library);
    EXPECT_NEAR(got.loss, want.loss, 1e-5 * std::abs(want.loss));
    ExpectNear(got.dx, want.dx, tolerance);
    ExpectNear(got.w, want.w, tolerance);
    ExpectNear(got.momentum, want.momentum, tolerance);
  }
}

TEST(CosineSoftmaxTest, SameAsWithStoredCosines) {
  // One group, several, and the last one smaller.
  for (int64_t classes : {13, 64, 128, 200}) {
    Head head(classes, 12, 0, classes);
    ExpectSameStep(&head);
  }
}

TEST(CosineSoftmaxTest, BFloat16Weights) {
  Head head(200, 16, 0, 200, DataType::kBFloat16);
  // Rounded at random, by the same numbers: up to a unit of the last place.
  ExpectSameStep(&head, 1e-2);
}

// What other devices would add is missing in both alike: the loss is not that
// of a softmax, but each target counts where it is.
TEST(CosineSoftmaxTest, PartOfTheClasses) {
  Head head(200, 12, 100, 400);
  head.labels().FromDoubles({0, 99, 100, 299, 300});
  const Head::Step want = head.Stored();
  for (const KernelLibrary* library : Libraries()) {
    SCOPED_TRACE(library->device_kind);
    const Head::Step got = head.MadeAgain(*library);
    ExpectNear(got.dx, want.dx, 1e-5);
    ExpectNear(got.w, want.w, 1e-5);
  }
}

// All cosines about as large, or as small, as there are, but those at the
// labels: nothing overflows.
TEST(CosineSoftmaxTest, ExtremeCosines) {
  for (double sign : {1.0, -1.0}) {
    SCOPED_TRACE(sign);
    Head head(200, 8, 0, 200);
    head.x().FromDoubles(Values(kImages * 8, 0.99 * sign / std::sqrt(8.0)));
    Values w(200 * 8, 0.5);
    for (double label : head.labels().ToDoubles()) {
      std::fill_n(w.begin() + static_cast<int64_t>(label) * 8, 8, -0.5);
    }
    head.w().FromDoubles(w);
    const Head::Step want = head.Stored();
    for (const KernelLibrary* library : Libraries()) {
      SCOPED_TRACE(library->device_kind);
      const Head::Step got = head.MadeAgain(*library);
      EXPECT_NEAR(got.loss, want.loss, 1e-5 * std::abs(want.loss));
      // A gradient by a cosine is up to 64 * 0.7 / 5; some cancel.
      ExpectNear(got.dx, want.dx, 1e-5, 1);
    }
  }
}

TEST(CosineSoftmaxTest, RefusesScalesThatNeedTheMaxima) {
  const Attributes attributes = {{"m1", 1.0},
                                 {"m2", 0.5},
                                 {"m3", 0.0},
                                 {"scale", 65.0},
                                 {"gradient", std::string("exact")},
                                 {"eps", 1e-12},
                                 {"may_round", false}};
  const std::vector<TensorType> inputs = {
      {kFloat32, {4, 8}}, {kFloat32, {9, 8}}, {DataType::kInt32, {4}}};
  std::vector<TensorType> outputs;
  const absl::Status status =
      FindOp("cosine_softmax_sum")->infer({attributes, inputs, {}}, &outputs);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("\"scale\" is 65; at most 64"),
            std::string::npos)
      << status;
}

TEST(CosineSoftmaxTest, RefusesLabelsThatAreNoClass) {
  Head head(200, 12, 0, 200);
  head.labels().FromDoubles({0, 1, 200, 3, 4});
  const TensorSlice rows = HostValue::Whole({kFloat32, {kImages}}).slice();
  const TensorSlice scalar = HostValue::Whole({kFloat32, {}}).slice();
  const auto sums = RunOp(*FindOp("cosine_softmax_sum"), {},
                          {head.x(), head.w(), head.labels()}, {rows, scalar},
                          {}, CpuKernels());
  EXPECT_EQ(sums.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(sums.status().message()).find("label 200 of row 2"),
            std::string::npos)
      << sums.status();
}

}  // namespace
}  // namespace facet::ops
