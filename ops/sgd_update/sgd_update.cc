// sgd_update: the optimizer's step for one variable.
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>*) {
  const TensorType& weight = call.inputs[0];
  RETURN_IF_ERROR(CheckState(weight, call.inputs[1]));
  RETURN_IF_ERROR(ExpectSameType("gradient", call.inputs[2],
                                 {DataType::kFloat32, weight.shape},
                                 "one number for each of weight"));
  RETURN_IF_ERROR(CheckAccumulate(call));
  return CheckSgdOperands(call, /*first_scalar=*/3);
}

}  // namespace

OpDef SgdUpdateDef() {
  OpDef def;
  def.name = "sgd_update";
  def.summary = "SGD with momentum and weight decay, in place";
  def.attributes = UpdateAttributes();
  def.attributes.push_back(AccumulateAttribute());
  def.inputs = {"weight",        "momentum",       "gradient",
                "learning_rate", "gradient_scale", "skip"};
  def.num_optional_inputs = 2;
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int) {
    const int num_inputs = static_cast<int>(call.inputs.size());
    std::vector<Signature> signatures =
        UniformSignatures(num_inputs, 0, call.inputs[0].shape.rank());
    for (Signature& signature : signatures) {
      for (int i = 3; i < num_inputs; ++i) signature.inputs[i] = Sbp::B();
    }
    return signatures;
  };
  def.cost = [](const OpCall& local) {
    Cost cost;
    const TensorType& weight = local.inputs[0];
    cost.flops = 7.0 * static_cast<double>(weight.shape.num_elements());
    cost.bytes = StateBytes(weight, local.inputs[1]) +
                 static_cast<double>(local.inputs[2].size_bytes());
    return cost;
  };
  def.mutates = {0, 1};
  def.has_side_effect = true;
  def.may_group = true;
  const DataType f32 = DataType::kFloat32;
  const Attributes attributes = {{"momentum", 0.9}, {"weight_decay", 5e-4}};
  auto like = [&](Shape shape) {
    return std::vector<TensorType>(3, TensorType{f32, std::move(shape)});
  };
  auto example = [&](Shape shape, int scalars,
                     DataType weight = DataType::kFloat32,
                     DataType momentum = DataType::kFloat32) {
    OpExample example;
    example.attributes = attributes;
    example.inputs = like(std::move(shape));
    example.inputs[0].dtype = weight;
    example.inputs[1].dtype = momentum;
    example.inputs.insert(example.inputs.end(), scalars, {f32, {}});
    example.domains.assign(example.inputs.size(), InputDomain{});
    // skip: 0, or nothing would happen.
    if (scalars == 3) example.domains.back() = {0, 0};
    return example;
  };
  const DataType half = DataType::kBFloat16;
  def.examples = {example({7, 6}, 1),
                  example({13}, 2),
                  example({5, 6, 3, 3}, 3),
                  example({9, 5}, 1, half, half),
                  example({6, 11}, 1, f32, half),
                  example({7, 6}, 1)};
  def.examples.back().attributes.Set("accumulate", int64_t{3});
  return def;
}

}  // namespace facet::ops
