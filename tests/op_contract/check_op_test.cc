// The contract's checks find what they are there to find: each test breaks one
// thing of a small correct op.

#include "tests/op_contract/check_op.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::tests {
namespace {

using ops::KernelContext;
using ops::KernelSpec;
using ops::OpDef;
using ops::Sbp;
using ops::Signature;

// The kernel library has the one op "double_rows": y = 2x + (row number).
// Tests replace what its kernel does.
using Run =
    std::function<void(const KernelSpec& spec, const KernelContext& context)>;

Run& CurrentRun() {
  static Run& run = *new Run;
  return run;
}

const ops::KernelDef* FindKernel(absl::string_view op) {
  static const ops::KernelDef& kernel = *[] {
    auto* def = new ops::KernelDef;
    def->workspace_bytes = [](const KernelSpec&) -> absl::StatusOr<int64_t> {
      return 64;
    };
    def->create = [](const KernelSpec& spec) -> absl::StatusOr<ops::Kernel> {
      return [spec](const KernelContext& context) {
        CurrentRun()(spec, context);
        return absl::OkStatus();
      };
    };
    return def;
  }();
  return op == "double_rows" ? &kernel : nullptr;
}

const ops::KernelLibrary& Kernels() {
  static constexpr ops::KernelLibrary library = {
      "cpu", FindKernel, [](ops::DataType) { return ops::Layout::kRowMajor; }};
  return library;
}

void DoubleRows(const KernelSpec& spec, const KernelContext& context) {
  const ops::Shape& shape = spec.outputs[0].shape;
  const float* x = context.inputs[0].as<float>();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    y[i] = 2 * x[i] + spec.outputs[0].offset[0] + i / shape[1];
  }
}

OpDef DoubleRowsDef() {
  OpDef def;
  def.name = "double_rows";
  def.summary = "twice x plus the number of the row";
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = [](const ops::OpCall& call,
                 std::vector<ops::TensorType>* outputs) {
    if (call.inputs[0].shape.rank() != 2 ||
        call.inputs[0].dtype != ops::DataType::kFloat32) {
      return absl::InvalidArgumentError("x must be float32 [rows, columns]");
    }
    outputs->push_back(call.inputs[0]);
    return absl::OkStatus();
  };
  def.signatures = [](const ops::OpCall&, int) {
    return ops::UniformSignatures(1, 1, 2);
  };
  def.in_place = {{0, 0}};
  ops::OpExample example;
  example.inputs = {{ops::DataType::kFloat32, {5, 7}}};
  def.examples = {example};
  return def;
}

class CheckOpTest : public testing::Test {
 protected:
  CheckOpTest() : def_(DoubleRowsDef()) { CurrentRun() = DoubleRows; }

  std::string Definition() const {
    return absl::StrJoin(CheckDefinition(def_, Kernels()), "\n");
  }
  std::string Signatures() const {
    return absl::StrJoin(CheckSignatures(def_, Kernels()), "\n");
  }
  std::string InPlace() const {
    return absl::StrJoin(CheckInPlace(def_, Kernels()), "\n");
  }

  OpDef def_;
};

TEST_F(CheckOpTest, AcceptsACorrectOp) {
  EXPECT_EQ(Definition(), "");
  EXPECT_EQ(Signatures(), "");
  EXPECT_EQ(InPlace(), "");
}

TEST_F(CheckOpTest, FindsWhatADefinitionLacks) {
  def_.summary = "";
  EXPECT_EQ(Definition(), "op double_rows, no summary");
  def_ = DoubleRowsDef();
  def_.examples.clear();
  EXPECT_EQ(Definition(), "op double_rows, no examples");
  def_ = DoubleRowsDef();
  def_.signatures = nullptr;
  EXPECT_EQ(Definition(), "op double_rows, signatures are missing");
  def_ = DoubleRowsDef();
  def_.name = "triple_rows";
  EXPECT_EQ(Definition(), "op triple_rows, no cpu kernel");
}

TEST_F(CheckOpTest, FindsIndicesOutOfRange) {
  def_.in_place = {{1, 0}};
  EXPECT_EQ(Definition(),
            "op double_rows, in_place input names operand 1 of 1");
  def_ = DoubleRowsDef();
  def_.precision = {ops::PrecisionRule::Kind::kHalf, {2}};
  EXPECT_THAT(Definition(),
              testing::HasSubstr("precision names operand 2 of 1"));
  def_ = DoubleRowsDef();
  def_.precision = {ops::PrecisionRule::Kind::kHalf, {}};
  EXPECT_THAT(Definition(), testing::HasSubstr("this rule has 0"));
  def_ = DoubleRowsDef();
  def_.mutates = {0};
  EXPECT_THAT(Definition(), testing::HasSubstr("has_side_effect must be set"));
}

TEST_F(CheckOpTest, FindsAnExampleThatInferRefuses) {
  def_.examples[0].inputs[0].shape = {5};
  EXPECT_EQ(Definition(),
            "op double_rows, example 0: (float32[5]): infer refuses it: "
            "INVALID_ARGUMENT: x must be float32 [rows, columns]");
}

TEST_F(CheckOpTest, FindsAnInferThatFailsWithoutBlame) {
  def_.infer = [](const ops::OpCall& call,
                  std::vector<ops::TensorType>* outputs) {
    if (call.inputs[0].shape.rank() != 2) {
      return absl::InternalError("rank");
    }
    outputs->push_back(call.inputs[0]);
    return absl::OkStatus();
  };
  EXPECT_THAT(Definition(), testing::HasSubstr("expected InvalidArgument"));
}

TEST_F(CheckOpTest, FindsAMissingBroadcastSignature) {
  def_.signatures = [](const ops::OpCall&, int) -> std::vector<Signature> {
    return {ops::Uniform(1, 1, Sbp::S(0)), {{Sbp::S(2)}, {Sbp::S(0)}}};
  };
  const std::string errors = Definition();
  EXPECT_THAT(errors, testing::HasSubstr("all B is missing"));
  EXPECT_THAT(errors,
              testing::HasSubstr("(S(2)) -> (S(0)) does not fit the operands"));
}

TEST_F(CheckOpTest, FindsAWrongSignature) {
  // The row number does not add up over the devices.
  def_.signatures = [](const ops::OpCall&, int) -> std::vector<Signature> {
    return {ops::Uniform(1, 1, Sbp::B()), ops::Uniform(1, 1, Sbp::PSum())};
  };
  const std::vector<std::string> errors = CheckSignatures(def_, Kernels());
  // k = 2, 3, 4, and along either axis or both of 2x2.
  ASSERT_EQ(errors.size(), 6);
  EXPECT_THAT(errors[1],
              testing::StartsWith(
                  "op double_rows, example 0: (float32[5, 7]), signature "
                  "(P(sum)) -> (P(sum)), k = 3: output 0: 28 of 35 elements "
                  "are wrong, the worst is element "));
}

TEST_F(CheckOpTest, FindsAKernelThatForgetsItsOffset) {
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    KernelSpec first = spec;
    first.outputs[0].offset[0] = 0;
    DoubleRows(first, context);
  };
  EXPECT_THAT(Signatures(), testing::HasSubstr("signature (S(0)) -> (S(0))"));
  EXPECT_THAT(Signatures(),
              testing::Not(testing::HasSubstr("signature (S(1)) -> (S(1))")));
}

TEST_F(CheckOpTest, FindsAKernelThatMissesTheLastElement) {
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    std::vector<float> y(spec.outputs[0].num_elements());
    ops::TensorView view = context.outputs[0];
    view.data = y.data();
    KernelContext elsewhere = context;
    elsewhere.outputs = absl::MakeConstSpan(&view, 1);
    DoubleRows(spec, elsewhere);
    const int64_t count = spec.rank == 1 ? y.size() - 1 : y.size();
    std::copy_n(y.begin(), count, context.outputs[0].as<float>());
  };
  EXPECT_THAT(Signatures(), testing::HasSubstr(": nan, on one device "));
}

TEST_F(CheckOpTest, FindsAKernelThatWritesPastItsOutput) {
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    DoubleRows(spec, context);
    context.outputs[0].as<float>()[spec.outputs[0].num_elements()] = 0;
  };
  EXPECT_THAT(Signatures(), testing::HasSubstr("wrote past output 0, [5, 7]"));
}

TEST_F(CheckOpTest, FindsAKernelThatWritesPastItsWorkspace) {
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    DoubleRows(spec, context);
    static_cast<char*>(context.workspace)[64] = 1;
  };
  EXPECT_THAT(Signatures(), testing::HasSubstr("workspace of 64 bytes"));
}

TEST_F(CheckOpTest, FindsAKernelThatChangesItsInput) {
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    DoubleRows(spec, context);
    context.inputs[0].as<float>()[3] = 9;
  };
  EXPECT_THAT(Signatures(), testing::HasSubstr("changed input 0"));
}

TEST_F(CheckOpTest, FindsAKernelThatCannotWorkInPlace) {
  // Reads its neighbour after that has been written.
  CurrentRun() = [](const KernelSpec& spec, const KernelContext& context) {
    const float* x = context.inputs[0].as<float>();
    float* y = context.outputs[0].as<float>();
    for (int64_t i = 0; i < spec.outputs[0].num_elements(); ++i) {
      y[i] = 2 * x[i == 0 ? 0 : i - 1];
    }
  };
  EXPECT_EQ(InPlace(),
            "op double_rows, example 0: (float32[5, 7]), output 0 written over "
            "input 0: output 0 has other bits");
}

TEST_F(CheckOpTest, FindsAKernelThatIsNotDeterministic) {
  int calls = 0;
  CurrentRun() = [&](const KernelSpec& spec, const KernelContext& context) {
    DoubleRows(spec, context);
    context.outputs[0].as<float>()[0] += 1e-3f * ++calls;
  };
  EXPECT_THAT(InPlace(), testing::HasSubstr("run again: output 0 has other"));
}

}  // namespace
}  // namespace facet::tests
