// Batch normalisation, cut into the pieces between which devices communicate.
// The batch falls into `groups` by the shard rule, each with statistics of its
// own: with one group per device nothing is communicated (as DDP does); with
// one group in all, the statistics are partial sums over the devices
// (synchronised). Per group and channel, n values:
//   mean = sum / n,  var = max(0, square_sum / n - mean^2)
//   xhat = (x - mean) / sqrt(var + eps),  y = xhat * scale + bias
// Kernels: cpu.cc.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/batch_norm/gradient.h"
#include "ops/batch_norm/grouped_op.h"
#include "ops/graph/shard.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using Kind = GroupedOperand::Kind;

absl::Status InferUpdate(const OpCall& call, std::vector<TensorType>*) {
  const int64_t groups = call.attributes.Int("groups");
  const int64_t rows = call.attributes.Int("rows");
  const int64_t spatial = call.attributes.Int("spatial");
  RETURN_IF_ERROR(CheckGroups(groups, rows));
  if (spatial < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("spatial is ", spatial, "; expected at least 1"));
  }
  // The last group is the smallest.
  const int64_t fewest =
      ShardRange(rows, static_cast<int>(groups), static_cast<int>(groups) - 1)
          .size() *
      spatial;
  if (fewest < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a batch of ", rows, " in ", groups,
        " groups gives a group with 1 value per channel, which has no "
        "variance: use a batch of at least ",
        2 * groups));
  }
  const double momentum = call.attributes.Float("momentum");
  if (!(momentum >= 0 && momentum <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("momentum is ", momentum, "; expected from 0 to 1"));
  }
  const Shape& running_mean = call.inputs[0].shape;
  if (running_mean.rank() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("running_mean is ", call.inputs[0].ToString(),
                     "; expected float32[", groups, ", C]"));
  }
  static constexpr absl::string_view kNames[] = {"running_mean", "running_var",
                                                 "sum", "square_sum"};
  for (int i = 0; i < 4; ++i) {
    RETURN_IF_ERROR(
        CheckFloat32(kNames[i], call.inputs[i], {groups, running_mean[1]}));
  }
  return absl::OkStatus();
}

absl::Status InferInference(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  RETURN_IF_ERROR(CheckActivation("x", x));
  const int64_t channels = x.shape[1];
  RETURN_IF_ERROR(CheckFloat32("running_mean", call.inputs[1], {1, channels}));
  RETURN_IF_ERROR(CheckFloat32("running_var", call.inputs[2], {1, channels}));
  RETURN_IF_ERROR(CheckFloat32("scale", call.inputs[3], {channels}));
  RETURN_IF_ERROR(CheckFloat32("bias", call.inputs[4], {channels}));
  RETURN_IF_ERROR(CheckBatchNormEps(call.attributes));
  outputs->push_back(x);
  return absl::OkStatus();
}

TensorType Float32(Shape shape) {
  return {DataType::kFloat32, std::move(shape)};
}

constexpr InputDomain kValues = {-1, 1};

}  // namespace

OpDef BatchNormStatisticsDef() {
  OpDef def = GroupedOp(
      {"batch_norm_statistics",
       "per group and channel: sum of x and of x^2",
       {{"x"}},
       {{"sum", Kind::kPartialSums}, {"square_sum", Kind::kPartialSums}},
       /*flops_per_element=*/3,
       /*normalises=*/false});
  def.examples.push_back({{}, {Float32({9, 6})}, {kValues}});
  return def;
}

OpDef BatchNormDef() {
  OpDef def = GroupedOp({"batch_norm",
                         "normalise by the statistics of the batch, scale and "
                         "shift",
                         {{"x"},
                          SumOperand(),
                          SquareSumOperand(),
                          ChannelOperand("scale"),
                          ChannelOperand("bias")},
                         {{"y"}},
                         3});
  def.gradient = [](GradientContext* context) {
    return BatchNormGradient(/*sum_input=*/1, context);
  };
  return def;
}

OpDef BatchNormGradStatisticsDef() {
  return GroupedOp(
      {"batch_norm_grad_statistics",
       "per group and channel: sum of dy and of dy * xhat",
       {{"dy"}, {"x"}, SumOperand(), SquareSumOperand()},
       {{"bias_grad", Kind::kPartialSums}, {"scale_grad", Kind::kPartialSums}},
       4});
}

OpDef BatchNormGradInputDef() {
  return GroupedOp({"batch_norm_grad_input",
                    "gradient of batch_norm by x, through the statistics too",
                    {{"dy"},
                     {"x"},
                     SumOperand(),
                     SquareSumOperand(),
                     ChannelOperand("scale"),
                     {"bias_grad", Kind::kStatistic, {-3, 3}},
                     {"scale_grad", Kind::kStatistic, {-3, 3}}},
                    {{"dx"}},
                    5});
}

OpDef BatchNormUpdateDef() {
  OpDef def;
  def.name = "batch_norm_update";
  def.summary = "running mean and unbiased variance, for inference";
  def.attributes = {
      GroupsAttribute(),
      {"momentum", 0.1, false, "weight of the batch's statistics"},
      {"rows", int64_t{0}, true, "N of x"},
      {"spatial", int64_t{1}, true, "H * W of x; 1 for rank 2"}};
  def.inputs = {"running_mean", "running_var", "sum", "square_sum"};
  def.infer = InferUpdate;
  def.signatures = [](const OpCall& call, int) {
    std::vector<Signature> signatures = {Uniform(4, 0, Sbp::B()),
                                         Uniform(4, 0, Sbp::S(1))};
    // One group is not split; of several, each is updated by itself.
    if (call.inputs[0].shape[0] > 1) {
      signatures.push_back(Uniform(4, 0, Sbp::S(0)));
    }
    return signatures;
  };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  def.may_group = true;
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(
        {{{"groups", groups}, {"rows", int64_t{11}}, {"spatial", int64_t{6}}},
         std::vector<TensorType>(4, Float32({groups, 5})),
         {kValues, {0.5, 2}, SumOperand().domain, SquareSumOperand().domain}});
  }
  return def;
}

OpDef BatchNormInferenceDef() {
  OpDef def;
  def.name = "batch_norm_inference";
  def.summary = "normalise by the running statistics";
  def.attributes = {BatchNormEpsAttribute()};
  def.inputs = {"x", "running_mean", "running_var", "scale", "bias"};
  def.outputs = {"y"};
  def.infer = InferInference;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    const Sbp b = Sbp::B(), s0 = Sbp::S(0), s1 = Sbp::S(1);
    return {Uniform(5, 1, b),
            {{s0, b, b, b, b}, {s0}},
            {{s1, s1, s1, s0, s0}, {s1}}};
  };
  def.cost = [](const OpCall& local) { return ActivationCost(local, 0, 3); };
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, true};
  def.examples = {{{},
                   {Float32({7, 5, 3, 2}), Float32({1, 5}), Float32({1, 5}),
                    Float32({5}), Float32({5})},
                   {kValues, kValues, {0.5, 2}, kValues, kValues}}};
  return def;
}

}  // namespace facet::ops
