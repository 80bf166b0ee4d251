#include "ops/batch_norm/grouped_op.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using Kind = GroupedOperand::Kind;
using Kinds = std::vector<Kind>;

// Where x is among the inputs.
int XInput(const std::vector<GroupedOperand>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].name == "x") return static_cast<int>(i);
  }
  LOG(FATAL) << "no input is called x";
}

Kinds KindsOf(const std::vector<GroupedOperand>& operands) {
  Kinds kinds;
  for (const GroupedOperand& operand : operands) kinds.push_back(operand.kind);
  return kinds;
}

// The operand's type, for x of this type.
TensorType TypeOf(Kind kind, const TensorType& x, int64_t groups) {
  switch (kind) {
    case Kind::kActivation:
      return x;
    case Kind::kStatistic:
    case Kind::kPartialSums:
      return {DataType::kFloat32, {groups, x.shape[1]}};
    case Kind::kChannel:
      return {DataType::kFloat32, {x.shape[1]}};
  }
  return x;
}

absl::Status CheckSame(absl::string_view name, const TensorType& type,
                       const TensorType& x) {
  if (type == x) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", type.ToString(), "; expected ", x.ToString(), ", as x is"));
}

absl::Status Infer(const GroupedOpOptions& options, const OpCall& call,
                   std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[XInput(options.inputs)];
  RETURN_IF_ERROR(CheckActivation("x", x));
  const int64_t groups = call.attributes.Int("groups");
  RETURN_IF_ERROR(CheckGroups(groups, x.shape[0]));
  for (size_t i = 0; i < options.inputs.size(); ++i) {
    const GroupedOperand& operand = options.inputs[i];
    if (operand.kind == Kind::kActivation) {
      RETURN_IF_ERROR(CheckSame(operand.name, call.inputs[i], x));
    } else {
      RETURN_IF_ERROR(CheckFloat32(operand.name, call.inputs[i],
                                   TypeOf(operand.kind, x, groups).shape));
    }
  }
  if (options.normalises) RETURN_IF_ERROR(CheckBatchNormEps(call.attributes));
  for (const GroupedOperand& operand : options.outputs) {
    outputs->push_back(TypeOf(operand.kind, x, groups));
  }
  return absl::OkStatus();
}

// What the rows of a call, or of a share of one, are parted in.
struct Rows {
  int64_t rows = 0;
  int64_t groups = 0;
};

Rows RowsOf(const OpCall& call, const Kinds& inputs, const Kinds& outputs) {
  Rows result;
  auto look = [&](const Kinds& kinds, absl::Span<const TensorType> types) {
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

Sbp ByChannel(Kind kind) {
  return kind == Kind::kChannel ? Sbp::S(0) : Sbp::S(1);
}

Sbp ByBatch(Kind kind, int64_t groups) {
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
}

std::vector<Signature> Signatures(const Rows& rows, int num_devices,
                                  const Kinds& inputs, const Kinds& outputs) {
  auto make = [&](auto rule) {
    Signature signature;
    for (Kind kind : inputs) signature.inputs.push_back(rule(kind));
    for (Kind kind : outputs) signature.outputs.push_back(rule(kind));
    return signature;
  };
  std::vector<Signature> signatures = {make([](Kind) { return Sbp::B(); })};
  if (rows.groups == 1 || SharesAreWholeGroups(rows, num_devices)) {
    signatures.push_back(
        make([&](Kind kind) { return ByBatch(kind, rows.groups); }));
  }
  signatures.push_back(make(ByChannel));
  return signatures;
}

OpExample ExampleOf(const GroupedOpOptions& options, int64_t groups) {
  // Uneven groups, but of four, which two devices can share evenly.
  const int64_t batch = groups == 4 ? 8 : 7;
  const TensorType x = {DataType::kFloat32, {batch, 5, 3, 2}};
  OpExample example;
  example.attributes = {{"groups", groups}};
  for (const GroupedOperand& operand : options.inputs) {
    example.inputs.push_back(TypeOf(operand.kind, x, groups));
    example.domains.push_back(operand.domain);
  }
  return example;
}

}  // namespace

GroupedOperand SumOperand() { return {"sum", Kind::kStatistic, {-3, 3}}; }
GroupedOperand SquareSumOperand() {
  return {"square_sum", Kind::kStatistic, {40, 60}};
}
GroupedOperand ChannelOperand(std::string name) {
  return {std::move(name), Kind::kChannel};
}

OpDef GroupedOp(const GroupedOpOptions& options) {
  OpDef def;
  def.name = options.name;
  def.summary = options.summary;
  def.attributes = {GroupsAttribute()};
  if (options.normalises) def.attributes.push_back(BatchNormEpsAttribute());
  def.infer = [options](const OpCall& call, std::vector<TensorType>* outputs) {
    return Infer(options, call, outputs);
  };
  def.signatures = [inputs = KindsOf(options.inputs),
                    outputs = KindsOf(options.outputs)](const OpCall& call,
                                                        int num_devices) {
    return Signatures(RowsOf(call, inputs, outputs), num_devices, inputs,
                      outputs);
  };
  const int x = XInput(options.inputs);
  def.cost = [x, flops = options.flops_per_element](const OpCall& local) {
    return ActivationCost(local, x, flops);
  };
  def.precision = {PrecisionRule::Kind::kFollow, {x}};
  for (size_t i = 0; i < options.inputs.size(); ++i) {
    const int input = static_cast<int>(i);
    def.inputs.push_back(options.inputs[i].name);
    if (options.inputs[i].kind != Kind::kActivation) continue;
    def.layout.inputs.push_back(input);
    if (input != x) def.precision.operands.push_back(input);
  }
  for (size_t o = 0; o < options.outputs.size(); ++o) {
    const int output = static_cast<int>(o);
    def.outputs.push_back(options.outputs[o].name);
    if (options.outputs[o].kind != Kind::kActivation) continue;
    def.layout.outputs.push_back(output);
    for (int input : def.layout.inputs) def.in_place.push_back({input, output});
  }
  for (int64_t groups : {1, 2, 3, 4}) {
    def.examples.push_back(ExampleOf(options, groups));
  }
  return def;
}

absl::Status CheckGroups(int64_t groups, int64_t rows) {
  if (groups >= 1 && groups <= rows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "groups is ", groups, "; expected from 1 to the batch size, ", rows));
}

absl::Status CheckFloat32(absl::string_view name, const TensorType& type,
                          const Shape& shape) {
  const TensorType expected = {DataType::kFloat32, shape};
  if (type == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", type.ToString(), "; expected ", expected.ToString()));
}

absl::Status CheckActivation(absl::string_view name, const TensorType& type) {
  if (type.shape.rank() >= 2 && IsFloating(type.dtype)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", type.ToString(), "; expected floating [N, C, ...]"));
}

absl::Status CheckBatchNormEps(const Attributes& attributes) {
  const double eps = attributes.Float("eps");
  if (eps > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("eps is ", eps, "; expected more than 0"));
}

AttributeSpec GroupsAttribute() {
  return {"groups", int64_t{1}, false,
          "parts of the batch with statistics of their own"};
}

AttributeSpec BatchNormEpsAttribute() {
  return {"eps", 1e-5, false, "added to the variance"};
}

Cost ActivationCost(const OpCall& local, int x_input,
                    double flops_per_element) {
  Cost cost;
  cost.flops = flops_per_element *
               static_cast<double>(local.inputs[x_input].shape.num_elements());
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

}  // namespace facet::ops
