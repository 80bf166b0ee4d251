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
#include "ops/gradient.h"
#include "ops/graph/shard.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CheckActivation(absl::string_view name, const TensorType& type) {
  if (type.shape.rank() < 2 || !IsFloating(type.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", type.ToString(), "; expected floating [N, C, ...]"));
  }
  return absl::OkStatus();
}

absl::Status CheckSame(absl::string_view name, const TensorType& type,
                       const TensorType& expected) {
  if (type != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", type.ToString(), "; expected ",
                     expected.ToString(), ", as x is"));
  }
  return absl::OkStatus();
}

absl::Status CheckFloat32(absl::string_view name, const TensorType& type,
                          const Shape& shape) {
  const TensorType expected = {DataType::kFloat32, shape};
  if (type != expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", type.ToString(), "; expected ", expected.ToString()));
  }
  return absl::OkStatus();
}

absl::Status CheckGroups(int64_t groups, int64_t rows) {
  if (groups < 1 || groups > rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "groups is ", groups, "; expected from 1 to the batch size, ", rows));
  }
  return absl::OkStatus();
}

absl::Status CheckEps(const Attributes& attributes) {
  const double eps = attributes.Float("eps");
  if (!(eps > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", eps, "; expected more than 0"));
  }
  return absl::OkStatus();
}

// x, groups, and the inputs [first, first + count), which are f32[G, C].
absl::Status CheckGrouped(const OpCall& call, int x_input, int first,
                          absl::Span<const absl::string_view> names) {
  const TensorType& x = call.inputs[x_input];
  RETURN_IF_ERROR(CheckActivation("x", x));
  const int64_t groups = call.attributes.Int("groups");
  RETURN_IF_ERROR(CheckGroups(groups, x.shape[0]));
  for (size_t i = 0; i < names.size(); ++i) {
    RETURN_IF_ERROR(
        CheckFloat32(names[i], call.inputs[first + i], {groups, x.shape[1]}));
  }
  return absl::OkStatus();
}

TensorType GroupType(const OpCall& call, const TensorType& x) {
  return {DataType::kFloat32, {call.attributes.Int("groups"), x.shape[1]}};
}

absl::Status InferStatistics(const OpCall& call,
                             std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckGrouped(call, 0, 1, {}));
  outputs->assign(2, GroupType(call, call.inputs[0]));
  return absl::OkStatus();
}

absl::Status InferBatchNorm(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckGrouped(call, 0, 1, {"sum", "square_sum"}));
  const TensorType& x = call.inputs[0];
  RETURN_IF_ERROR(CheckFloat32("scale", call.inputs[3], {x.shape[1]}));
  RETURN_IF_ERROR(CheckFloat32("bias", call.inputs[4], {x.shape[1]}));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back(x);
  return absl::OkStatus();
}

absl::Status InferGradStatistics(const OpCall& call,
                                 std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckGrouped(call, 1, 2, {"sum", "square_sum"}));
  RETURN_IF_ERROR(CheckSame("dy", call.inputs[0], call.inputs[1]));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->assign(2, GroupType(call, call.inputs[1]));
  return absl::OkStatus();
}

absl::Status InferGradInput(const OpCall& call,
                            std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(CheckGrouped(call, 1, 2, {"sum", "square_sum"}));
  RETURN_IF_ERROR(CheckGrouped(call, 1, 5, {"bias_grad", "scale_grad"}));
  const TensorType& x = call.inputs[1];
  RETURN_IF_ERROR(CheckSame("dy", call.inputs[0], x));
  RETURN_IF_ERROR(CheckFloat32("scale", call.inputs[4], {x.shape[1]}));
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back(x);
  return absl::OkStatus();
}

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
  RETURN_IF_ERROR(CheckEps(call.attributes));
  outputs->push_back(x);
  return absl::OkStatus();
}

// What an operand is, as far as its split is concerned.
enum class Kind {
  kActivation,   // [N, C, ...]
  kStatistic,    // [G, C], what holds for a group's rows
  kPartialSums,  // [G, C], added up over the rows by the op
  kChannel,      // [C]
};

// For examples: uneven groups, but of four, which two devices can share evenly.
int64_t BatchOf(int64_t groups) { return groups == 4 ? 8 : 7; }

// What the rows of a call, or of a share of one, are parted in.
struct Rows {
  int64_t rows = 0;
  int64_t groups = 0;
};

Rows RowsOf(const OpCall& call, const std::vector<Kind>& inputs,
            const std::vector<Kind>& outputs) {
  Rows result;
  auto look = [&](const std::vector<Kind>& kinds,
                  absl::Span<const TensorType> types) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      if (kinds[i] == Kind::kActivation) result.rows = types[i].shape[0];
      if (kinds[i] == Kind::kStatistic || kinds[i] == Kind::kPartialSums) {
        result.groups = types[i].shape[0];
      }
    }
  };
  look(inputs, call.inputs);
  look(outputs, call.outputs);
  return result;
}

// The shares of k devices begin and end with groups.
bool SharesAreWholeGroups(const Rows& rows, int k) {
  return rows.groups % k == 0 &&
         (rows.groups == k || rows.rows % rows.groups == 0);
}

// By batch where a device's rows are whole groups or all rows are one group, by
// channel, or not at all.
std::vector<Signature> GroupedSignatures(const Rows& rows, int num_devices,
                                         const std::vector<Kind>& inputs,
                                         const std::vector<Kind>& outputs) {
  const int64_t groups = rows.groups;
  auto by_channel = [](Kind kind) {
    return kind == Kind::kChannel ? Sbp::S(0) : Sbp::S(1);
  };
  auto by_batch = [groups](Kind kind) {
    switch (kind) {
      case Kind::kActivation:
        return Sbp::S(0);
      case Kind::kStatistic:
        return groups == 1 ? Sbp::B() : Sbp::S(0);
      case Kind::kPartialSums:
        return groups == 1 ? Sbp::PSum() : Sbp::S(0);
      case Kind::kChannel:
        return Sbp::B();
    }
    return Sbp::B();
  };
  auto make = [&](auto rule) {
    Signature signature;
    for (Kind kind : inputs) signature.inputs.push_back(rule(kind));
    for (Kind kind : outputs) signature.outputs.push_back(rule(kind));
    return signature;
  };
  std::vector<Signature> signatures = {Uniform(static_cast<int>(inputs.size()),
                                               static_cast<int>(outputs.size()),
                                               Sbp::B())};
  if (groups == 1 || SharesAreWholeGroups(rows, num_devices)) {
    signatures.push_back(make(by_batch));
  }
  signatures.push_back(make(by_channel));
  return signatures;
}

auto SignatureRule(std::vector<Kind> inputs, std::vector<Kind> outputs) {
  return [inputs, outputs](const OpCall& call, int num_devices) {
    return GroupedSignatures(RowsOf(call, inputs, outputs), num_devices, inputs,
                             outputs);
  };
}

// Memory traffic decides; the arithmetic is a few operations per element of x.
auto CostRule(int x_input, double flops_per_element) {
  return [x_input, flops_per_element](const OpCall& local) {
    Cost cost;
    cost.flops =
        flops_per_element *
        static_cast<double>(local.inputs[x_input].shape.num_elements());
    for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
    for (const TensorType& type : local.outputs) {
      cost.bytes += type.size_bytes();
    }
    return cost;
  };
}

AttributeSpec GroupsAttribute() {
  return {"groups", int64_t{1}, false,
          "parts of the batch with statistics of their own"};
}

AttributeSpec EpsAttribute() {
  return {"eps", 1e-5, false, "added to the variance"};
}

// Only the statistics' own readers see them, and the gradient by x has their
// paths in it: nothing flows to sum and square_sum.
absl::Status BatchNormGradient(GradientContext* context) {
  const TensorId dy = context->output_gradient(0);
  const TensorId x = context->input(0);
  const TensorId sum = context->input(1);
  const TensorId square_sum = context->input(2);
  const TensorId scale = context->input(3);
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
  const std::pair<int, TensorId> by_group[] = {{3, scale_grad}, {4, bias_grad}};
  for (const auto& [input, gradient] : by_group) {
    if (!context->wants_input_gradient(input)) continue;
    ASSIGN_OR_RETURN(
        std::vector<TensorId> total,
        context->Add("reduce_sum", {gradient}, {{"axis", int64_t{0}}}));
    context->set_input_gradient(input, total[0]);
  }
  return absl::OkStatus();
}

TensorType Float32(Shape shape) {
  return {DataType::kFloat32, std::move(shape)};
}

// x in [-1, 1): square_sum / n is well above mean^2 if sum stays small.
constexpr InputDomain kValues = {-1, 1};
constexpr InputDomain kSum = {-3, 3};
constexpr InputDomain kSquareSum = {40, 60};

}  // namespace

OpDef BatchNormStatisticsDef() {
  OpDef def;
  def.name = "batch_norm_statistics";
  def.summary = "per group and channel: sum of x and of x^2";
  def.attributes = {GroupsAttribute()};
  def.inputs = {"x"};
  def.outputs = {"sum", "square_sum"};
  def.infer = InferStatistics;
  def.signatures = SignatureRule({Kind::kActivation},
                                 {Kind::kPartialSums, Kind::kPartialSums});
  def.cost = CostRule(0, 3);
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {}, true};
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(
        {{{"groups", groups}}, {Float32({7, 5, 3, 2})}, {kValues}});
  }
  // Several groups on a device.
  def.examples.push_back(
      {{{"groups", int64_t{4}}}, {Float32({8, 5, 3, 2})}, {kValues}});
  def.examples.push_back({{}, {Float32({9, 6})}, {kValues}});
  return def;
}

OpDef BatchNormDef() {
  OpDef def;
  def.name = "batch_norm";
  def.summary = "normalise by the statistics of the batch, scale and shift";
  def.attributes = {GroupsAttribute(), EpsAttribute()};
  def.inputs = {"x", "sum", "square_sum", "scale", "bias"};
  def.outputs = {"y"};
  def.infer = InferBatchNorm;
  def.signatures =
      SignatureRule({Kind::kActivation, Kind::kStatistic, Kind::kStatistic,
                     Kind::kChannel, Kind::kChannel},
                    {Kind::kActivation});
  def.gradient = BatchNormGradient;
  def.cost = CostRule(0, 3);
  def.in_place = {{0, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, true};
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(
        {{{"groups", groups}},
         {Float32({BatchOf(groups), 5, 3, 2}), Float32({groups, 5}),
          Float32({groups, 5}), Float32({5}), Float32({5})},
         {kValues, kSum, kSquareSum, kValues, kValues}});
  }
  return def;
}

OpDef BatchNormGradStatisticsDef() {
  OpDef def;
  def.name = "batch_norm_grad_statistics";
  def.summary = "per group and channel: sum of dy and of dy * xhat";
  def.attributes = {GroupsAttribute(), EpsAttribute()};
  def.inputs = {"dy", "x", "sum", "square_sum"};
  def.outputs = {"bias_grad", "scale_grad"};
  def.infer = InferGradStatistics;
  def.signatures = SignatureRule({Kind::kActivation, Kind::kActivation,
                                  Kind::kStatistic, Kind::kStatistic},
                                 {Kind::kPartialSums, Kind::kPartialSums});
  def.cost = CostRule(1, 4);
  def.precision = {PrecisionRule::Kind::kFollow, {1, 0}};
  def.layout = {{0, 1}, {}, true};
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back({{{"groups", groups}},
                            {Float32({BatchOf(groups), 5, 3, 2}),
                             Float32({BatchOf(groups), 5, 3, 2}),
                             Float32({groups, 5}), Float32({groups, 5})},
                            {kValues, kValues, kSum, kSquareSum}});
  }
  return def;
}

OpDef BatchNormGradInputDef() {
  OpDef def;
  def.name = "batch_norm_grad_input";
  def.summary = "gradient of batch_norm by x, through the statistics too";
  def.attributes = {GroupsAttribute(), EpsAttribute()};
  def.inputs = {"dy",    "x",         "sum",       "square_sum",
                "scale", "bias_grad", "scale_grad"};
  def.outputs = {"dx"};
  def.infer = InferGradInput;
  def.signatures = SignatureRule(
      {Kind::kActivation, Kind::kActivation, Kind::kStatistic, Kind::kStatistic,
       Kind::kChannel, Kind::kStatistic, Kind::kStatistic},
      {Kind::kActivation});
  def.cost = CostRule(1, 5);
  def.in_place = {{0, 0}, {1, 0}};
  def.precision = {PrecisionRule::Kind::kFollow, {1, 0}};
  def.layout = {{0, 1}, {0}, true};
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(
        {{{"groups", groups}},
         {Float32({BatchOf(groups), 5, 3, 2}),
          Float32({BatchOf(groups), 5, 3, 2}), Float32({groups, 5}),
          Float32({groups, 5}), Float32({5}), Float32({groups, 5}),
          Float32({groups, 5})},
         {kValues, kValues, kSum, kSquareSum, kValues, kSum, kSum}});
  }
  return def;
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
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(
        {{{"groups", groups}, {"rows", int64_t{11}}, {"spatial", int64_t{6}}},
         std::vector<TensorType>(4, Float32({groups, 5})),
         {kValues, {0.5, 2}, kSum, kSquareSum}});
  }
  return def;
}

OpDef BatchNormInferenceDef() {
  OpDef def;
  def.name = "batch_norm_inference";
  def.summary = "normalise by the running statistics";
  def.attributes = {EpsAttribute()};
  def.inputs = {"x", "running_mean", "running_var", "scale", "bias"};
  def.outputs = {"y"};
  def.infer = InferInference;
  def.signatures = [](const OpCall&, int) -> std::vector<Signature> {
    const Sbp b = Sbp::B(), s0 = Sbp::S(0), s1 = Sbp::S(1);
    return {Uniform(5, 1, b),
            {{s0, b, b, b, b}, {s0}},
            {{s1, s1, s1, s0, s0}, {s1}}};
  };
  def.cost = CostRule(0, 3);
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
