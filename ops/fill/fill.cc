// fill: a constant tensor.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"
#include "ops/type_attributes.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  ASSIGN_OR_RETURN(TensorType type, TypeFromAttributes(call.attributes));
  const double value = call.attributes.Float("value");
  if (!IsFloating(type.dtype) && value != std::floor(value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"value\" is ", value, ", which is not an integer, but \"",
        "dtype\" is ", DataTypeName(type.dtype)));
  }
  outputs->push_back(std::move(type));
  return absl::OkStatus();
}

}  // namespace

OpDef FillDef() {
  OpDef def;
  def.name = "fill";
  def.summary = "a tensor whose elements all have the same value";
  def.attributes = {
      {"dtype", std::string("float32"), false, "element type"},
      {"shape", std::vector<int64_t>{}, true, "logical shape"},
      {"value", 0.0, false, "of every element"},
  };
  def.outputs = {"value"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int) {
    return UniformSignatures(0, 1, call.outputs[0].shape.rank());
  };
  def.examples = {
      {{{"dtype", std::string("float32")},
        {"shape", std::vector<int64_t>{7, 5}},
        {"value", 0.25}},
       {},
       {}},
      {{{"dtype", std::string("int32")},
        {"shape", std::vector<int64_t>{6}},
        {"value", -3.0}},
       {},
       {}},
  };
  return def;
}

}  // namespace facet::ops
