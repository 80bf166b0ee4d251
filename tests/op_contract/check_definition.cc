#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/gradient.h"
#include "ops/graph/shard.h"
#include "ops/graph_builder.h"
#include "ops/nd_signature.h"
#include "ops/testing/given_op.h"
#include "ops/testing/interpreter.h"
#include "tests/op_contract/check_op.h"
#include "tests/op_contract/errors.h"
#include "tests/op_contract/run_variant.h"
#include "tests/op_contract/variants.h"

namespace facet::tests {
namespace {

using ops::DataType;
using ops::HostValue;
using ops::OpDef;
using ops::PrecisionRule;
using ops::SameBits;
using ops::Sbp;
using ops::Signature;
using ops::TensorType;

std::string ToString(const Signature& signature) {
  auto list = [](const std::vector<Sbp>& sbps) {
    return absl::StrCat("(",
                        absl::StrJoin(sbps, ", ",
                                      [](std::string* out, const Sbp& sbp) {
                                        absl::StrAppend(out, sbp.ToString());
                                      }),
                        ")");
  };
  return absl::StrCat(list(signature.inputs), " -> ", list(signature.outputs));
}

void CheckNames(absl::string_view what, const std::vector<std::string>& names,
                Errors* errors) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const bool well_formed =
        !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
          return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
        });
    if (!well_formed) {
      errors->Add(what, " \"", name, "\": expected lower_case_words");
    }
    if (!seen.insert(name).second) errors->Add(what, " ", name, ": twice");
  }
}

void CheckIndex(absl::string_view what, int index, size_t size,
                Errors* errors) {
  if (index < 0 || index >= static_cast<int>(size)) {
    errors->Add(what, " names operand ", index, " of ", size);
  }
}

void CheckIndices(const OpDef& def, Errors* errors) {
  for (int m : def.mutates) {
    CheckIndex("mutates", m, def.inputs.size(), errors);
  }
  for (int input : def.settle.inputs) {
    CheckIndex("settle", input, def.inputs.size(), errors);
  }
  for (const ops::InPlacePair& pair : def.in_place) {
    CheckIndex("in_place input", pair.input, def.inputs.size(), errors);
    CheckIndex("in_place output", pair.output, def.outputs.size(), errors);
  }
  for (int operand : def.precision.operands) {
    CheckIndex("precision", operand, def.inputs.size(), errors);
  }
  for (int input : def.layout.inputs) {
    CheckIndex("layout input", input, def.inputs.size(), errors);
  }
  for (int output : def.layout.outputs) {
    CheckIndex("layout output", output, def.outputs.size(), errors);
  }
}

void CheckFlags(const OpDef& def, Errors* errors) {
  const bool has_operands = !def.precision.operands.empty();
  if ((def.precision.kind == PrecisionRule::Kind::kFloat32) == has_operands) {
    errors->Add(
        "precision: operands belong to kHalf and kFollow, which need "
        "them; this rule has ",
        def.precision.operands.size());
  }
  if ((def.outputs.empty() || !def.mutates.empty()) && !def.has_side_effect) {
    errors->Add(
        "it mutates an input or has no outputs: has_side_effect must "
        "be set, or the compiler drops it");
  }
  if (def.is_variable && (!def.inputs.empty() || def.outputs.size() != 1)) {
    errors->Add("a variable has no inputs and one output");
  }
  if (def.num_optional_inputs < 0 ||
      def.num_optional_inputs > static_cast<int>(def.inputs.size())) {
    errors->Add("num_optional_inputs is ", def.num_optional_inputs, " of ",
                def.inputs.size());
  }
  if (def.variadic && (def.num_optional_inputs > 0 || def.inputs.empty())) {
    errors->Add("variadic needs an input, and none that are optional");
  }
  if (def.physical == (def.signatures != nullptr)) {
    errors->Add(def.physical ? "a physical op has no signatures"
                             : "signatures are missing");
  }
  if (!def.physical && def.examples.empty()) errors->Add("no examples");
}

void CheckExamples(const OpDef& def, Errors* errors) {
  for (size_t e = 0; e < def.examples.size(); ++e) {
    const ops::OpExample& example = def.examples[e];
    const std::string name = absl::StrCat("example ", e);
    if (!example.domains.empty() &&
        example.domains.size() != example.inputs.size()) {
      errors->Add(name, ": ", example.domains.size(), " domains for ",
                  example.inputs.size(), " inputs");
    }
    for (const auto& [attribute, value] : example.attributes.values()) {
      auto spec = std::find_if(
          def.attributes.begin(), def.attributes.end(),
          [&, wanted = attribute](const ops::AttributeSpec& candidate) {
            return candidate.name == wanted;
          });
      if (spec == def.attributes.end()) {
        errors->Add(name, ": no attribute ", attribute);
      } else if (spec->initial.index() != value.index()) {
        errors->Add(name, ": attribute ", attribute, " has another type than ",
                    ops::AttributeToString(spec->initial));
      }
    }
    for (const ops::AttributeSpec& spec : def.attributes) {
      if (spec.required && !example.attributes.Has(spec.name)) {
        errors->Add(name, ": lacks the required attribute ", spec.name);
      }
    }
  }
}

// Types no example has: infer may take them or refuse them, but by
// InvalidArgument with a text.
void CheckInferRefuses(const OpDef& def, const Variant& variant,
                       Errors* errors) {
  for (size_t i = 0; i < variant.inputs.size(); ++i) {
    const TensorType& good = variant.inputs[i];
    // A scalar, one dimension more, other extents, another element type.
    std::vector<TensorType> others(1);
    others[0].dtype = good.dtype;
    others.resize(4, good);
    others[1].shape.push_back(3);
    for (int d = 0; d < good.shape.rank(); ++d) ++others[2].shape[d];
    others[3].dtype =
        ops::IsFloating(good.dtype) ? DataType::kInt64 : DataType::kFloat16;
    for (const TensorType& other : others) {
      Variant changed = variant;
      changed.inputs[i] = other;
      changed.outputs.clear();
      std::vector<TensorType> outputs;
      const absl::Status status = def.infer(changed.call(), &outputs);
      if (status.ok()) continue;
      if (!absl::IsInvalidArgument(status) || status.message().empty()) {
        errors->Add(variant.name, ": for input ", i, " of type ",
                    other.ToString(), " infer says \"", status.ToString(),
                    "\"; expected InvalidArgument and a reason");
      }
    }
  }
}

void CheckCost(const OpDef& def, const Variant& variant, Errors* errors) {
  const ops::Cost cost = ops::LocalCost(def, variant.call());
  for (double value : {cost.flops, cost.bytes}) {
    if (!std::isfinite(value) || value < 0) {
      errors->Add(variant.name, ": cost is ", cost.flops, " flops, ",
                  cost.bytes, " bytes");
    }
  }
}

bool Fits(const std::vector<Sbp>& sbps, const std::vector<TensorType>& types) {
  if (sbps.size() != types.size()) return false;
  for (size_t i = 0; i < sbps.size(); ++i) {
    if (sbps[i].is_split() && sbps[i].axis >= types[i].shape.rank()) {
      return false;
    }
  }
  return true;
}

void CheckSignatureList(const OpDef& def, const Variant& variant,
                        Errors* errors) {
  for (int k : {2, 3, 4}) {
    const std::vector<Signature> all = def.signatures(variant.call(), k);
    for (size_t s = 0; s < all.size(); ++s) {
      if (!Fits(all[s].inputs, variant.inputs) ||
          !Fits(all[s].outputs, variant.outputs)) {
        errors->Add(variant.name, ", k = ", k, ": signature ", ToString(all[s]),
                    " does not fit the operands");
      }
      if (std::count(all.begin(), all.begin() + s, all[s]) > 0) {
        errors->Add(variant.name, ", k = ", k, ": signature ", ToString(all[s]),
                    " stands there twice");
      }
    }
    const Signature broadcast =
        ops::Uniform(static_cast<int>(variant.inputs.size()),
                     static_cast<int>(variant.outputs.size()), Sbp::B());
    if (std::find(all.begin(), all.end(), broadcast) == all.end()) {
      errors->Add(variant.name, ", k = ", k,
                  ": the signature with all B is "
                  "missing");
    }
  }
}

}  // namespace

std::vector<std::string> CheckDefinition(const OpDef& def,
                                         const ops::KernelLibrary& kernels) {
  Errors errors(def);
  CheckNames("name", {def.name}, &errors);
  CheckNames("input", def.inputs, &errors);
  CheckNames("output", def.outputs, &errors);
  std::vector<std::string> attributes;
  for (const ops::AttributeSpec& spec : def.attributes) {
    attributes.push_back(spec.name);
  }
  CheckNames("attribute", attributes, &errors);
  if (def.summary.empty()) errors.Add("no summary");
  CheckIndices(def, &errors);
  CheckFlags(def, &errors);
  const ops::KernelDef* kernel = kernels.find(def.name);
  // What only the compiler handles (boxing) is listed, but never made.
  if (kernel == nullptr || (kernel->create == nullptr && !def.physical)) {
    errors.Add("no ", kernels.device_kind, " kernel");
  }
  if (def.infer == nullptr) {
    errors.Add("no infer");
    return errors.Take();
  }
  CheckExamples(def, &errors);
  for (const Variant& variant : MakeVariants(def, errors.list())) {
    if (variant.outputs.size() != def.outputs.size()) {
      errors.Add(variant.name, ": infer gives ", variant.outputs.size(),
                 " outputs, the definition names ", def.outputs.size());
      continue;
    }
    CheckInferRefuses(def, variant, &errors);
    CheckCost(def, variant, &errors);
    if (def.signatures != nullptr) CheckSignatureList(def, variant, &errors);
  }
  return errors.Take();
}

}  // namespace facet::tests
