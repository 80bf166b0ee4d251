// fetch: hands a tensor's value to the caller after every step.
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>*) {
  if (call.attributes.String("name").empty()) {
    return absl::InvalidArgumentError(
        "attribute \"name\" is empty; the value is reported under it");
  }
  return absl::OkStatus();
}

}  // namespace

OpDef FetchDef() {
  OpDef def;
  def.name = "fetch";
  def.summary = "reports x to the caller under a name";
  def.attributes = {
      {"name", std::string(), true, "what the caller knows the value by"},
  };
  def.inputs = {"x"};
  def.infer = Infer;
  def.signatures = [](const OpCall& call, int) {
    return UniformSignatures(1, 0, call.inputs[0].shape.rank());
  };
  def.stream = StreamKind::kHost;
  def.has_side_effect = true;
  def.examples = {
      {{{"name", std::string("value")}}, {{DataType::kFloat32, {6, 5}}}, {}}};
  return def;
}

}  // namespace facet::ops
