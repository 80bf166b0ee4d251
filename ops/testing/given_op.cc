#include "ops/testing/given_op.h"

#include <string>
#include <vector>

#include "ops/op_table.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr absl::string_view kName = "given";

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  ASSIGN_OR_RETURN(const DataType dtype,
                   ParseDataType(call.attributes.String("dtype")));
  outputs->push_back({dtype, Shape(call.attributes.Ints("shape"))});
  return absl::OkStatus();
}

}  // namespace

const OpDef* FindOpOrGiven(absl::string_view name) {
  static const OpDef& given = *[] {
    auto* def = new OpDef;
    def->name = std::string(kName);
    def->attributes = {{"dtype", std::string("float32"), true, "of the value"},
                       {"shape", std::vector<int64_t>{}, true, "of the value"}};
    def->outputs = {"value"};
    def->infer = Infer;
    return def;
  }();
  return name == kName ? &given : FindOp(name);
}

TensorId AddGiven(GraphBuilder* builder, absl::string_view name,
                  const TensorType& type) {
  const absl::Span<const int64_t> dims = type.shape.dims();
  return builder->Add1(
      kName, name, {},
      {{"dtype", std::string(DataTypeName(type.dtype))},
       {"shape", std::vector<int64_t>(dims.begin(), dims.end())}});
}

}  // namespace facet::ops
