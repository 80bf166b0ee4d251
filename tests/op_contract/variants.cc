#include "tests/op_contract/variants.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/testing/half_operands.h"
#include "ops/testing/op_test.h"

namespace facet::tests {
namespace {

using ops::DataType;
using ops::TensorType;

std::string TypesToString(const std::vector<TensorType>& types) {
  return absl::StrCat(
      "(",
      absl::StrJoin(types, ", ",
                    [](std::string* out, const TensorType& type) {
                      absl::StrAppend(out, type.ToString());
                    }),
      ")");
}

ops::Attributes Complete(const ops::OpDef& def, ops::Attributes attributes) {
  for (const ops::AttributeSpec& spec : def.attributes) {
    if (!attributes.Has(spec.name)) attributes.Set(spec.name, spec.initial);
  }
  return attributes;
}

}  // namespace

std::vector<Variant> MakeVariants(const ops::OpDef& def,
                                  std::vector<std::string>* errors) {
  std::vector<Variant> variants;
  const int least =
      static_cast<int>(def.inputs.size()) - def.num_optional_inputs;
  for (size_t e = 0; e < def.examples.size(); ++e) {
    const ops::OpExample& example = def.examples[e];
    std::set<std::string> seen;
    const int most = static_cast<int>(example.inputs.size());
    const int fewest =
        def.num_optional_inputs > 0 ? std::min(least, most) : most;
    for (int count = most; count >= fewest; --count) {
      for (DataType dtype :
           {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16}) {
        Variant variant;
        variant.inputs.assign(example.inputs.begin(),
                              example.inputs.begin() + count);
        variant.inputs = ops::WithHalf(def, variant.inputs, dtype);
        variant.name =
            absl::StrCat("example ", e, ": ", TypesToString(variant.inputs));
        if (!seen.insert(variant.name).second) continue;
        variant.attributes = Complete(def, example.attributes);
        variant.domains = example.domains;
        variant.domains.resize(count);
        variant.tolerance = example.tolerance;
        const absl::Status inferred =
            def.infer(variant.call(), &variant.outputs);
        if (!inferred.ok()) {
          errors->push_back(
              absl::StrCat("op ", def.name, ", ", variant.name,
                           ": infer refuses it: ", inferred.ToString()));
          continue;
        }
        variants.push_back(std::move(variant));
      }
    }
  }
  return variants;
}

std::vector<ops::HostValue> MakeInputs(const Variant& variant) {
  std::vector<ops::HostValue> inputs;
  for (size_t i = 0; i < variant.inputs.size(); ++i) {
    ops::HostValue value = ops::HostValue::Whole(variant.inputs[i]);
    value.FromDoubles(
        ops::RandomValues(variant.inputs[i], variant.domains[i], i));
    inputs.push_back(std::move(value));
  }
  return inputs;
}

ops::TensorSlice WholeSlice(const TensorType& type) {
  const ops::Region whole = ops::WholeRegion(type.shape);
  return {type.dtype, ops::Layout::kRowMajor, whole.shape, whole.shape,
          whole.offset};
}

}  // namespace facet::tests
