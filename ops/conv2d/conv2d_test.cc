// conv2d and its gradients against plain loops in float64.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/conv2d/reference.h"
#include "ops/cpu_kernels.h"
#include "ops/cuda_kernels.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/instruction_sets.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

using namespace conv2d_reference;  // NOLINT

std::vector<Sizes> AllSizes() {
  return {
      {2, 3, 9, 11, 16, 3, 3, 1, 1},   // The stem: 3 channels.
      {2, 16, 7, 5, 16, 3, 3, 1, 1},   // A block.
      {3, 16, 9, 7, 32, 3, 3, 2, 1},   // Its stride, odd extents.
      {2, 16, 8, 6, 32, 1, 1, 2, 0},   // The shortcut.
      {2, 16, 6, 5, 16, 1, 1, 1, 0},   //
      {1, 8, 4, 4, 24, 3, 3, 1, 0},    // Blocks of 8 only, no padding.
      {2, 5, 7, 6, 9, 3, 2, 2, 1},     // Channels that no block divides.
      {1, 1, 1, 1, 1, 1, 1, 1, 0},     //
      {1, 16, 112, 3, 8, 3, 3, 1, 1},  // Longer than any register blocking.
  };
}

class Conv2dTest : public testing::TestWithParam<Sizes> {};

TEST_P(Conv2dTest, ForwardIsTheDefinition) {
  const Sizes s = GetParam();
  ExpectMatchesReference({"conv2d", s.attributes(), {s.x(), s.w()}},
                         Forward(s));
}

TEST_P(Conv2dTest, GradientByInputIsTheDefinition) {
  const Sizes s = GetParam();
  ExpectMatchesReference(
      {"conv2d_grad_input", s.grad_input_attributes(), {s.y(), s.w()}},
      GradInput(s));
}

TEST_P(Conv2dTest, GradientByWeightIsTheDefinition) {
  const Sizes s = GetParam();
  ExpectMatchesReference(
      {"conv2d_grad_weight", s.grad_weight_attributes(), {s.x(), s.y()}},
      GradWeight(s));
}

// Every factor is off by 2^-11 of its size at most; errors have random signs.
// That they are rounded at all: //tests/op_contract. That they are not unless
// they may be: above.
TEST_P(Conv2dTest, RoundedFactorsAreNear) {
  const Sizes s = GetParam();
  for (const auto& [op_case, reference] :
       {std::make_pair(OpCase{"conv2d", s.attributes(), {s.x(), s.w()}},
                       Forward(s)),
        std::make_pair(
            OpCase{
                "conv2d_grad_input", s.grad_input_attributes(), {s.y(), s.w()}},
            GradInput(s)),
        std::make_pair(OpCase{"conv2d_grad_weight",
                              s.grad_weight_attributes(),
                              {s.x(), s.y()}},
                       GradWeight(s))}) {
    OpCase rounded = op_case;
    rounded.attributes.Set(kMayRound, true);
    rounded.tolerance = 0x1p-9;
    ExpectMatchesReference(rounded, reference);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dTest, testing::ValuesIn(AllSizes()));

TEST(Conv2d, GradientRuleIsTheDerivative) {
  for (const Sizes& s :
       {Sizes{2, 3, 5, 4, 4, 3, 3, 1, 1}, Sizes{2, 4, 5, 6, 3, 3, 3, 2, 1},
        Sizes{2, 4, 4, 5, 3, 1, 1, 2, 0}}) {
    ExpectGradientMatches({"conv2d", s.attributes(), {s.x(), s.w()}},
                          Forward(s));
  }
}

HostValue Random(const TensorType& type, Layout layout, int64_t seed) {
  TensorSlice slice = HostValue::Whole(type).slice();
  slice.layout = layout;
  HostValue value(slice);
  value.FromDoubles(RandomValues(type, InputDomain(), seed));
  return value;
}

Values MustRun(const std::string& op, const Attributes& attributes,
               const std::vector<HostValue>& inputs, const TensorType& output,
               Layout layout) {
  TensorSlice slice = HostValue::Whole(output).slice();
  slice.layout = layout;
  absl::StatusOr<std::vector<HostValue>> outputs =
      RunOp(*FindOp(op), attributes, inputs, {slice}, {}, CpuKernels());
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? outputs->front().ToDoubles() : Values();
}

// The layouts that the shared test does not go through.
TEST(Conv2d, ChannelsLastEqualsRowMajor) {
  constexpr Layout kLast = Layout::kChannelsLast;
  constexpr Layout kFirst = Layout::kRowMajor;
  for (const Sizes& s :
       {Sizes{2, 16, 7, 5, 24, 3, 3, 2, 1}, Sizes{2, 3, 6, 5, 7, 3, 3, 1, 1}}) {
    const HostValue w = Random(s.w(), kFirst, 1);
    auto expect_near = [](const Values& a, const Values& b) {
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4);
    };
    auto forward = [&](Layout x, Layout y) {
      return MustRun("conv2d", s.attributes(), {Random(s.x(), x, 0), w}, s.y(),
                     y);
    };
    auto grad_input = [&](Layout x, Layout y) {
      return MustRun("conv2d_grad_input", s.grad_input_attributes(),
                     {Random(s.y(), y, 2), w}, s.x(), x);
    };
    auto grad_weight = [&](Layout x, Layout y) {
      return MustRun("conv2d_grad_weight", s.grad_weight_attributes(),
                     {Random(s.x(), x, 0), Random(s.y(), y, 2)}, s.w(), kFirst);
    };
    for (Layout x : {kFirst, kLast}) {
      for (Layout y : {kFirst, kLast}) {
        expect_near(forward(x, y), forward(kFirst, kFirst));
        expect_near(grad_input(x, y), grad_input(kFirst, kFirst));
        expect_near(grad_weight(x, y), grad_weight(kFirst, kFirst));
      }
    }
  }
}

TEST(Conv2d, WeightGradientRepeatsItsBits) {
  const Sizes s{4, 16, 14, 14, 32, 3, 3, 1, 1};
  auto run = [&] {
    Attributes attributes = s.grad_weight_attributes();
    attributes.Set("algorithm", std::string("direct"));
    return MustRun("conv2d_grad_weight", attributes,
                   {Random(s.x(), Layout::kBlocked8, 0),
                    Random(s.y(), Layout::kBlocked8, 1)},
                   s.w(), Layout::kRowMajor);
  };
  const Values first = run();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(), first);
}

// A kernel object is run step after step, on buffers that may move.
TEST(Conv2d, KernelRunsAgainOnOtherBuffers) {
  const Sizes s{2, 16, 7, 5, 16, 3, 3, 1, 1};
  const KernelDef* def = CpuKernels().find("conv2d");
  ASSERT_NE(def, nullptr);
  KernelSpec spec;
  spec.attributes = s.attributes();
  spec.attributes.Set("algorithm", std::string("direct"));
  spec.inputs = {Random(s.x(), Layout::kBlocked8, 0).slice(),
                 Random(s.w(), Layout::kRowMajor, 0).slice()};
  spec.outputs = {Random(s.y(), Layout::kBlocked8, 0).slice()};
  absl::StatusOr<int64_t> bytes = def->workspace_bytes(spec);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, *def->workspace_bytes(spec));
  EXPECT_GE(*bytes, s.w().size_bytes());  // Room for the reordered weights.
  absl::StatusOr<Kernel> kernel = def->create(spec);
  ASSERT_TRUE(kernel.ok()) << kernel.status();

  const TensorType scratch = {DataType::kFloat32, {*bytes / 4 + 1}};
  for (int step = 0; step < 3; ++step) {
    const HostValue x = Random(s.x(), Layout::kBlocked8, 10 + step);
    const HostValue w = Random(s.w(), Layout::kRowMajor, 20 + step);
    const HostValue y(spec.outputs[0]);
    const HostValue workspace = HostValue::Whole(scratch);  // Full of NaN.
    const TensorView inputs[] = {x.view(), w.view()};
    const TensorView outputs[] = {y.view()};
    KernelContext context;
    context.inputs = inputs;
    context.outputs = outputs;
    context.workspace = workspace.view().data;
    ASSERT_TRUE((*kernel)(context).ok());
    const Values want = Forward(s)({}, {}, {x.ToDoubles(), w.ToDoubles()})[0];
    const Values got = y.ToDoubles();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 1e-4) << "step " << step;
    }
  }
}

// Images of whole and of cut tiles, more tiles than one batch, more kernels
// than one block, more channels one way than the other; in every dtype and both
// blocked layouts.
void ExpectWinogradIsTheDefinition() {
  for (const Sizes& s :
       {Sizes{2, 16, 8, 8, 16, 3, 3, 1, 1}, Sizes{3, 32, 7, 5, 48, 3, 3, 1, 1},
        Sizes{1, 48, 1, 3, 16, 3, 3, 1, 1}, Sizes{3, 16, 4, 3, 16, 3, 3, 1, 1},
        Sizes{5, 16, 3, 4, 16, 3, 3, 1, 1}, Sizes{2, 256, 5, 6, 48, 3, 3, 1, 1},
        Sizes{2, 16, 30, 29, 32, 3, 3, 1, 1},
        Sizes{70, 16, 5, 5, 16, 3, 3, 1, 1}}) {
    for (Layout layout : {Layout::kBlocked8, Layout::kBlocked16}) {
      for (DataType dtype :
           {DataType::kFloat32, DataType::kBFloat16, DataType::kFloat16}) {
        SCOPED_TRACE(absl::StrCat(s.x().ToString(), " ", LayoutName(layout),
                                  " ", DataTypeName(dtype)));
        auto typed = [&](TensorType type) {
          type.dtype = dtype;
          return type;
        };
        auto check = [&](const std::string& op, Attributes attributes,
                         const HostValue& a, const HostValue& b,
                         const TensorType& out, Layout out_layout,
                         const Reference& reference) {
          attributes.Set("algorithm", std::string("winograd"));
          const Values got = MustRun(op, attributes, {a, b}, out, out_layout);
          const Values want =
              reference({}, {}, {a.ToDoubles(), b.ToDoubles()})[0];
          ASSERT_EQ(got.size(), want.size());
          double largest = 0;
          for (double value : want) {
            largest = std::max(largest, std::abs(value));
          }
          // The result is rounded to its type; float32 is used inside.
          const double unit = out.dtype == DataType::kFloat32   ? 1e-5
                              : out.dtype == DataType::kFloat16 ? 1e-3
                                                                : 8e-3;
          for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_NEAR(got[i], want[i], unit * largest) << op << " " << i;
          }
        };
        const HostValue x = Random(typed(s.x()), layout, 0);
        const HostValue w = Random(typed(s.w()), Layout::kRowMajor, 1);
        const HostValue dy = Random(typed(s.y()), layout, 2);
        check("conv2d", s.attributes(), x, w, typed(s.y()), layout, Forward(s));
        check("conv2d_grad_input", s.grad_input_attributes(), dy, w,
              typed(s.x()), layout, GradInput(s));
        check("conv2d_grad_weight", s.grad_weight_attributes(), x, dy, s.w(),
              Layout::kRowMajor, GradWeight(s));
      }
    }
  }
}

TEST(Conv2d, WinogradIsTheDefinition) {
  ForEachInstructionSet([](const char* name) {
    SCOPED_TRACE(name);
    ExpectWinogradIsTheDefinition();
  });
}

TEST(Conv2d, WinogradGivesTheSameBitsOnAnyTeam) {
  const Sizes s{5, 16, 30, 29, 32, 3, 3, 1, 1};
  constexpr Layout k8 = Layout::kBlocked8;
  const HostValue x = Random(s.x(), k8, 0), dy = Random(s.y(), k8, 2);
  const HostValue w = Random(s.w(), Layout::kRowMajor, 1);
  auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    auto winograd = [](Attributes attributes) {
      attributes.Set("algorithm", std::string("winograd"));
      return attributes;
    };
    std::vector<Values> all = {
        MustRun("conv2d", winograd(s.attributes()), {x, w}, s.y(), k8),
        MustRun("conv2d_grad_input", winograd(s.grad_input_attributes()),
                {dy, w}, s.x(), k8),
        MustRun("conv2d_grad_weight", winograd(s.grad_weight_attributes()),
                {x, dy}, s.w(), Layout::kRowMajor)};
    omp_set_num_threads(before);
    return all;
  };
  const std::vector<Values> one = run(1);
  for (int threads : {2, 3, 5}) EXPECT_EQ(run(threads), one) << threads;
}

KernelSpec ForwardSpec(const Sizes& s, Layout layout,
                       const std::string& algorithm) {
  KernelSpec spec;
  spec.attributes = s.attributes();
  spec.attributes.Set("algorithm", algorithm);
  spec.inputs = {Random(s.x(), layout, 0).slice(),
                 Random(s.w(), Layout::kRowMajor, 0).slice()};
  spec.outputs = {Random(s.y(), layout, 0).slice()};
  return spec;
}

TEST(Conv2d, TheAlgorithmsThatWouldDoAndFirstTheOneThatSavesMore) {
  auto algorithms = [](const char* op, const KernelSpec& spec) {
    std::vector<std::string> names;
    for (const Attributes& attributes :
         CpuKernels().find(op)->alternatives(spec)) {
      names.push_back(attributes.String("algorithm"));
      // Nothing else differs.
      Attributes back = attributes;
      back.Set("algorithm", spec.attributes.String("algorithm"));
      EXPECT_EQ(back, spec.attributes);
    }
    return names;
  };
  auto forward = [&](const Sizes& s, Layout layout, const char* algorithm) {
    return algorithms("conv2d", ForwardSpec(s, layout, algorithm));
  };
  using Names = std::vector<std::string>;
  constexpr Layout k8 = Layout::kBlocked8;
  const Sizes usual{1, 64, 7, 7, 64, 3, 3, 1, 1};
  EXPECT_EQ(forward(usual, k8, "auto"), (Names{"winograd", "direct"}));
  // Nothing is left.
  EXPECT_EQ(forward(usual, k8, "direct"), Names{"direct"});
  EXPECT_EQ(forward(usual, k8, "winograd"), Names{"winograd"});
  // Stride 2; 24 channels; row-major.
  EXPECT_EQ(forward({1, 64, 7, 7, 64, 3, 3, 2, 1}, k8, "auto"),
            Names{"direct"});
  EXPECT_EQ(forward({1, 24, 7, 7, 64, 3, 3, 1, 1}, k8, "auto"),
            Names{"direct"});
  EXPECT_EQ(forward(usual, Layout::kRowMajor, "auto"), Names{"direct"});
  // 36 products for 4 results: it can be done, but saves nothing.
  EXPECT_EQ(forward({1, 64, 2, 2, 64, 3, 3, 1, 1}, k8, "auto"),
            (Names{"direct", "winograd"}));

  // The gradients: dy, w, dx and x, dy, dw. y is what is counted.
  KernelSpec spec = ForwardSpec(usual, k8, "auto");
  const TensorSlice x = spec.inputs[0], w = spec.inputs[1], y = spec.outputs[0];
  spec.inputs = {y, w};
  spec.outputs = {x};
  EXPECT_EQ(algorithms("conv2d_grad_input", spec),
            (Names{"winograd", "direct"}));
  spec.inputs = {x, y};
  spec.outputs = {w};
  EXPECT_EQ(algorithms("conv2d_grad_weight", spec),
            (Names{"winograd", "direct"}));
}

TEST(Conv2d, WinogradSaysWhatItCannotDo) {
  const absl::Status status =
      CpuKernels()
          .find("conv2d")
          ->create(ForwardSpec({2, 16, 8, 8, 16, 3, 3, 2, 1}, Layout::kBlocked8,
                               "winograd"))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("\"winograd\" cannot convolve x [2, 16, "
                                  "8, 8] in layout nChw8c"),
            absl::string_view::npos)
      << status;
}

TEST(Conv2d, BlockedLayoutNeedsWholeBlocks) {
  const Sizes s{1, 12, 4, 4, 8, 1, 1, 1, 0};
  KernelSpec spec;
  spec.attributes = s.attributes();
  spec.attributes.Set("algorithm", std::string("auto"));
  spec.inputs = {HostValue::Whole(s.x()).slice(),
                 HostValue::Whole(s.w()).slice()};
  spec.inputs[0].layout = Layout::kBlocked8;
  spec.outputs = {HostValue::Whole(s.y()).slice()};
  const absl::Status status =
      CpuKernels().find("conv2d")->create(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("nChw8c needs channels in multiples of 8"),
            absl::string_view::npos)
      << status;
}

// A sum of nothing is zero.
TEST(Conv2d, OnCudaWithoutImages) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  const Sizes s{0, 4, 5, 6, 3, 3, 3, 1, 1};
  auto run = [](const std::string& op, const Attributes& attributes,
                const std::vector<TensorType>& inputs, const TensorType& out) {
    std::vector<HostValue> values;
    for (const TensorType& type : inputs) {
      values.push_back(Random(type, Layout::kRowMajor, 1));
    }
    const auto outputs =
        RunOp(*FindOp(op), attributes, values, {HostValue::Whole(out).slice()},
              {}, CudaKernelsOnHost());
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? outputs->front().ToDoubles() : Values();
  };
  EXPECT_EQ(run("conv2d", s.attributes(), {s.x(), s.w()}, s.y()), Values());
  EXPECT_EQ(run("conv2d_grad_input", s.grad_input_attributes(), {s.y(), s.w()},
                s.x()),
            Values());
  EXPECT_EQ(run("conv2d_grad_weight", s.grad_weight_attributes(),
                {s.x(), s.y()}, s.w()),
            Values(s.w().shape.num_elements()));
}

TEST(Conv2d, OnCudaTheWorkspaceIsPlannedWithoutADevice) {
  auto planned = [](const Sizes& s, Layout layout) {
    return CudaKernels().find("conv2d")->workspace_bytes(
        ForwardSpec(s, layout, "auto"));
  };
  constexpr Layout kLast = Layout::kChannelsLast;
  // For cuDNN x, y, eight of w, and a MiB; w is laid out anew beside
  // channels-last images, unless it is 1x1.
  auto for_cudnn = [](const Sizes& s) {
    return s.x().size_bytes() + s.y().size_bytes() + 8 * s.w().size_bytes() +
           (int64_t{1} << 20);
  };
  const Sizes small{2, 16, 8, 8, 16, 3, 3, 1, 1};
  EXPECT_EQ(*planned(small, Layout::kRowMajor), for_cudnn(small));
  EXPECT_EQ(*planned(small, kLast), for_cudnn(small) + small.w().size_bytes());
  const Sizes one{2, 16, 8, 8, 16, 1, 1, 1, 0};
  EXPECT_EQ(*planned(one, kLast), for_cudnn(one));
  // What cuDNN 9.19 asks for on an H200 to give the stem's gradient in float32
  // with the same bits each time.
  const Sizes stem{128, 3, 112, 112, 64, 3, 3, 1, 1};
  EXPECT_GE(for_cudnn(stem), 430529887);
  EXPECT_EQ(*planned(stem, Layout::kRowMajor), for_cudnn(stem));
}

TEST(Conv2d, AlgorithmsAreOfOneKindOfDevice) {
  const Sizes s{2, 16, 8, 8, 16, 3, 3, 1, 1};
  EXPECT_EQ(CpuKernels()
                .find("conv2d")
                ->workspace_bytes(ForwardSpec(s, Layout::kRowMajor, "cudnn:0"))
                .status(),
            absl::UnimplementedError(
                "algorithm \"cudnn:0\" is for CUDA devices; on a CPU use "
                "\"direct\", \"winograd\" or \"auto\""));
  EXPECT_EQ(CudaKernels()
                .find("conv2d")
                ->workspace_bytes(ForwardSpec(s, Layout::kRowMajor, "winograd"))
                .status(),
            absl::UnimplementedError(
                "algorithm \"winograd\" is for CPUs; on a CUDA device use "
                "\"auto\", or one of cuDNN's engines: \"cudnn:0\""));
}

TEST(Conv2d, OnCudaCudnnsEnginesAreTheAlternatives) {
  const Sizes s{2, 16, 8, 8, 16, 3, 3, 1, 1};
  const KernelDef& kernel = *CudaKernels().find("conv2d");
  const auto all =
      kernel.alternatives(ForwardSpec(s, Layout::kRowMajor, "auto"));
  ASSERT_GE(all.size(), 2u);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].String("algorithm"), absl::StrCat("cudnn:", i));
    EXPECT_EQ(all[i].Int("stride"), 1);
  }
  EXPECT_EQ(
      kernel.alternatives(ForwardSpec(s, Layout::kRowMajor, "cudnn:5")).size(),
      1u);
}

std::string InferError(const std::string& op, const Attributes& attributes,
                       const std::vector<Shape>& shapes) {
  std::vector<TensorType> types;
  for (const Shape& shape : shapes)
    types.push_back({DataType::kFloat32, shape});
  Attributes completed = attributes;
  for (const AttributeSpec& spec : FindOp(op)->attributes) {
    if (!completed.Has(spec.name)) completed.Set(spec.name, spec.initial);
  }
  std::vector<TensorType> outputs;
  return std::string(
      FindOp(op)->infer({completed, types, {}}, &outputs).message());
}

TEST(Conv2d, RefusesWhatDoesNotFit) {
  const Shape x{2, 3, 8, 8}, w{4, 3, 3, 3};
  EXPECT_EQ(InferError("conv2d", {}, {x, w}), "");
  EXPECT_EQ(InferError("conv2d", {}, {x, {4, 5, 3, 3}}),
            "x [2, 3, 8, 8] has 3 channels but w [4, 5, 3, 3] takes 5");
  EXPECT_EQ(InferError("conv2d", {}, {{2, 3, 8}, w}),
            "x is float32[2, 3, 8]; expected floating [N, C, H, W]");
  EXPECT_EQ(InferError("conv2d", {{"stride", int64_t{0}}}, {x, w}),
            "stride is 0; expected at least 1");
  EXPECT_EQ(InferError("conv2d", {{"algorithm", std::string("fft")}}, {x, w}),
            "algorithm is \"fft\"; expected \"auto\", \"direct\", "
            "\"winograd\" or \"cudnn:N\" with N from 0");
  for (const char* algorithm : {"cudnn:", "cudnn:-1", "cudnn:+1", "cudnn:01"}) {
    EXPECT_NE(
        InferError("conv2d", {{"algorithm", std::string(algorithm)}}, {x, w}),
        "");
  }
  EXPECT_EQ(InferError("conv2d", {}, {{2, 3, 2, 8}, w}),
            "the kernel's height is 3; expected from 1 to 2, the padded "
            "image's");
  EXPECT_EQ(InferError("conv2d_grad_input",
                       {{"height", int64_t{9}}, {"width", int64_t{8}}},
                       {{2, 4, 6, 6}, w}),
            "dy has the shape [2, 4, 6, 6] but the convolution's output is "
            "[2, 4, 7, 6]");
}

TEST(Conv2d, CostCountsMultiplyAdds) {
  // The second convolution of IResNet-50, per image: 112x112x64x64x9.
  const Sizes s{1, 64, 112, 112, 64, 3, 3, 1, 1};
  const double flops = 2.0 * 112 * 112 * 64 * 64 * 9;
  auto cost = [](const std::string& op, Attributes attributes,
                 const std::vector<TensorType>& inputs, TensorType output,
                 const char* algorithm = "auto") {
    attributes.Set("algorithm", std::string(algorithm));
    return FindOp(op)->cost({attributes, inputs, {&output, 1}});
  };
  EXPECT_EQ(cost("conv2d", s.attributes(), {s.x(), s.w()}, s.y()).flops, flops);
  EXPECT_EQ(cost("conv2d_grad_input", s.grad_input_attributes(), {s.y(), s.w()},
                 s.x())
                .flops,
            flops);
  EXPECT_EQ(cost("conv2d_grad_weight", s.grad_weight_attributes(),
                 {s.x(), s.y()}, s.w())
                .flops,
            flops);
  EXPECT_EQ(cost("conv2d", s.attributes(), {s.x(), s.w()}, s.y()).bytes,
            4.0 * (2 * 112 * 112 * 64 + 64 * 64 * 9));
  // A quarter of the products, and the transforms.
  const double fewer =
      cost("conv2d", s.attributes(), {s.x(), s.w()}, s.y(), "winograd").flops;
  EXPECT_GT(fewer, flops / 4);
  EXPECT_LT(fewer, flops / 2);
}

}  // namespace
}  // namespace facet::ops
