// boxing: the identity from one SBP to another, a placeholder that placement
// lowers (placement/boxing) to pack_regions, a collective and unpack_regions,
// which copy boxes of a device's share from and to contiguous memory.
#include <string>

#include "absl/strings/str_cat.h"
#include "ops/boxing/regions.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"
#include "ops/type_attributes.h"

namespace facet::ops {
namespace {

absl::Status InferBoxing(const OpCall& call, std::vector<TensorType>* outputs) {
  outputs->push_back(call.inputs[0]);
  return absl::OkStatus();
}

absl::Status InferPack(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& x = call.inputs[0];
  ASSIGN_OR_RETURN(const std::vector<Region> regions,
                   ParseRegions(call.attributes.Ints("regions"), x.shape,
                                /*scalar_boxes=*/1));
  outputs->push_back({x.dtype, {NumElements(regions)}});
  return absl::OkStatus();
}

absl::Status CheckChoice(const Attributes& attributes, absl::string_view name,
                         std::vector<std::string> choices) {
  const std::string& value = attributes.String(name);
  for (const std::string& choice : choices) {
    if (value == choice) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("attribute \"", name, "\" is \"", value, "\"; use ",
                   choices[0], ", ", choices[1], " or ", choices[2]));
}

absl::Status InferUnpack(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(
      CheckChoice(call.attributes, "fill", {"none", "zero", "lowest"}));
  RETURN_IF_ERROR(
      CheckChoice(call.attributes, "combine", {"assign", "sum", "max"}));
  ASSIGN_OR_RETURN(TensorType y, TypeFromAttributes(call.attributes));
  const int64_t elements =
      call.inputs.empty() ? 0 : call.inputs[0].shape.num_elements();
  ASSIGN_OR_RETURN(
      const std::vector<Region> regions,
      ParseRegions(call.attributes.Ints("regions"), y.shape, elements));
  if (!call.inputs.empty() && call.inputs[0].dtype != y.dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("input x is ", call.inputs[0].ToString(),
                     ", but attribute \"dtype\" is ", DataTypeName(y.dtype)));
  }
  if (NumElements(regions) != elements) {
    return absl::InvalidArgumentError(
        absl::StrCat("the regions have ", NumElements(regions),
                     " elements, input x has ", elements));
  }
  outputs->push_back(std::move(y));
  return absl::OkStatus();
}

}  // namespace

OpDef BoxingDef() {
  OpDef def;
  def.name = "boxing";
  def.summary = "x, distributed otherwise";
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.infer = InferBoxing;
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {0}, /*same=*/true};
  def.stream = StreamKind::kCommunication;
  def.physical = true;
  return def;
}

OpDef PackRegionsDef() {
  OpDef def;
  def.name = "pack_regions";
  def.summary = "boxes of x, one after the other";
  def.attributes = {
      {"regions", std::vector<int64_t>{}, true,
       "per box its offsets, then its extents, local to x"},
  };
  def.inputs = {"x"};
  def.outputs = {"packed"};
  def.infer = InferPack;
  def.cost = [](const OpCall& local) {
    return Cost{0, 2.0 * local.outputs[0].size_bytes()};
  };
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{0}, {}, /*same=*/false};
  def.physical = true;
  return def;
}

OpDef UnpackRegionsDef() {
  OpDef def;
  def.name = "unpack_regions";
  def.summary = "a tensor made of pieces: the boxes of it that x has in a row";
  def.attributes = {
      {"shape", std::vector<int64_t>{}, true, "of y, on this device"},
      {"dtype", std::string("float32"), false, "of x and y"},
      {"regions", std::vector<int64_t>{}, true,
       "per box its offsets, then its extents, local to y"},
      {"fill", std::string("none"), false,
       "what y is before: \"none\" (undefined), \"zero\" or \"lowest\""},
      {"combine", std::string("assign"), false,
       "what to do with a piece: \"assign\", or \"sum\" or \"max\" with what "
       "is there"},
  };
  def.inputs = {"x"};
  def.outputs = {"y"};
  def.num_optional_inputs = 1;
  def.infer = InferUnpack;
  def.cost = [](const OpCall& local) {
    const double x = local.inputs.empty() ? 0 : local.inputs[0].size_bytes();
    return Cost{0, x + local.outputs[0].size_bytes()};
  };
  def.precision = {PrecisionRule::Kind::kFollow, {0}};
  def.layout = {{}, {0}, /*same=*/false};
  def.physical = true;
  return def;
}

}  // namespace facet::ops
