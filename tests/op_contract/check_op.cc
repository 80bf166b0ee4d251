#include "tests/op_contract/check_op.h"

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
#include "tests/op_contract/run_sharded.h"
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

// Collects sentences that begin with the op's name.
class Errors {
 public:
  explicit Errors(const OpDef& def) : prefix_("op " + def.name) {}

  template <typename... Parts>
  void Add(const Parts&... parts) {
    errors_.push_back(absl::StrCat(prefix_, ", ", parts...));
  }
  std::vector<std::string>* list() { return &errors_; }
  std::vector<std::string> Take() { return std::move(errors_); }

 private:
  std::string prefix_;
  std::vector<std::string> errors_;
};

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

double Largest(const std::vector<double>& values) {
  double largest = 0;
  for (double value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest;
}

// Relative rounding of a sum of a few numbers of this type.
double RoundingOf(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat16:
      return 0x1p-9;
    case DataType::kBFloat16:
      return 0x1p-6;
    default:
      return 0;
  }
}

// Why `got` is not `want`; empty if it is within `tolerance` of the largest
// value, or of `scale`.
std::string Difference(const HostValue& got, const HostValue& want,
                       double tolerance, double scale) {
  const std::vector<double> a = got.ToDoubles();
  const std::vector<double> b = want.ToDoubles();
  if (a.size() != b.size() || got.slice().dtype != want.slice().dtype) {
    return "it has another type than on one device";
  }
  scale = std::max(scale, Largest(b));
  const double bound = tolerance * (scale > 0 ? scale : 1);
  size_t worst = 0;
  int wrong = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || std::abs(a[i] - b[i]) <= bound) continue;
    if (wrong++ == 0 ||
        !(std::abs(a[i] - b[i]) <= std::abs(a[worst] - b[worst]))) {
      worst = i;
    }
  }
  if (wrong == 0) return "";
  return absl::StrCat(wrong, " of ", a.size(),
                      " elements are wrong, the worst is element ", worst, ": ",
                      a[worst], ", on one device ", b[worst],
                      ", may differ by ", bound);
}

void CompareSharded(const Variant& variant, const ops::NdSignature& signature,
                    const ops::Mesh& mesh, bool rounds_to_inputs,
                    const Results& sharded, const Results& whole,
                    Errors* errors) {
  const std::string place =
      absl::StrCat(variant.name, ", signature ", signature.ToString(),
                   ", k = ", mesh.ToString());
  double rounding = variant.tolerance;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (rounds_to_inputs || signature.inputs[i].any_partial()) {
      rounding = std::max(rounding, RoundingOf(variant.inputs[i].dtype));
    }
  }
  for (const auto& [name, want] : whole.values) {
    auto it = sharded.values.find(name);
    if (it == sharded.values.end()) {
      errors->Add(place, ": ", name, " is missing");
      continue;
    }
    const double tolerance = std::max(rounding, RoundingOf(want.slice().dtype));
    const std::string difference =
        Difference(it->second, want, tolerance, sharded.largest_partial);
    if (!difference.empty()) errors->Add(place, ": ", name, ": ", difference);
  }
  if (sharded.values.size() > whole.values.size()) {
    errors->Add(place, ": more results than on one device");
  }
}

void CompareBits(const std::string& place, const Results& a, const Results& b,
                 Errors* errors) {
  for (const auto& [name, value] : a.values) {
    auto it = b.values.find(name);
    if (it == b.values.end() || !SameBits(value, it->second)) {
      errors->Add(place, ": ", name, " has other bits");
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

std::vector<std::string> CheckSignatures(const OpDef& def,
                                         const ops::KernelLibrary& kernels) {
  Errors errors(def);
  if (def.physical) return {};
  const ops::KernelDef* kernel = kernels.find(def.name);
  const bool rounds_to_inputs = kernel != nullptr && kernel->rounds_to_inputs;
  for (const Variant& variant : MakeVariants(def, errors.list())) {
    const absl::StatusOr<Results> whole = RunWhole(def, variant, {}, kernels);
    if (!whole.ok()) {
      errors.Add(variant.name, ": on one device: ", whole.status().message());
      continue;
    }
    for (const ops::Mesh& mesh :
         {ops::Mesh{{2}}, ops::Mesh{{3}}, ops::Mesh{{4}}, ops::Mesh{{2, 2}}}) {
      for (const ops::NdSignature& signature :
           ops::LegalNdSignatures(def, variant.call(), mesh)) {
        const absl::StatusOr<Results> sharded =
            RunSharded(def, variant, signature, mesh, kernels);
        if (!sharded.ok()) {
          errors.Add(variant.name, ", signature ", signature.ToString(),
                     ", k = ", mesh.ToString(), ": ",
                     sharded.status().message());
          continue;
        }
        CompareSharded(variant, signature, mesh, rounds_to_inputs, *sharded,
                       *whole, &errors);
      }
    }
  }
  return errors.Take();
}

std::vector<std::string> CheckInPlace(const OpDef& def,
                                      const ops::KernelLibrary& kernels) {
  Errors errors(def);
  std::vector<bool> tried(def.in_place.size(), false);
  for (const Variant& variant : MakeVariants(def, errors.list())) {
    const absl::StatusOr<Results> plain = RunWhole(def, variant, {}, kernels);
    const absl::StatusOr<Results> again = RunWhole(def, variant, {}, kernels);
    if (!plain.ok() || !again.ok()) {
      errors.Add(variant.name, ": ",
                 (plain.ok() ? again : plain).status().message());
      continue;
    }
    CompareBits(absl::StrCat(variant.name, ", run again"), *plain, *again,
                &errors);
    for (size_t p = 0; p < def.in_place.size(); ++p) {
      const ops::InPlacePair& pair = def.in_place[p];
      if (pair.input >= static_cast<int>(variant.inputs.size())) continue;
      const std::string place =
          absl::StrCat(variant.name, ", output ", pair.output,
                       " written over input ", pair.input);
      // The rule is for operands of the same size.
      if (variant.inputs[pair.input].size_bytes() !=
          variant.outputs[pair.output].size_bytes()) {
        continue;
      }
      tried[p] = true;
      const absl::StatusOr<Results> in_place =
          RunWhole(def, variant, {pair}, kernels);
      if (!in_place.ok()) {
        errors.Add(place, ": ", in_place.status().message());
        continue;
      }
      CompareBits(place, *plain, *in_place, &errors);
    }
  }
  for (size_t p = 0; p < tried.size(); ++p) {
    if (tried[p]) continue;
    errors.Add("output ", def.in_place[p].output, " over input ",
               def.in_place[p].input,
               ": no example has both, of the same size");
  }
  return errors.Take();
}

std::vector<std::string> CheckGroups(const OpDef& def,
                                     const ops::KernelLibrary& kernels) {
  Errors errors(def);
  if (!def.may_group) return {};
  std::map<std::string, std::vector<Variant>> by_kind;
  for (Variant& variant : MakeVariants(def, errors.list())) {
    std::string kind;
    for (const auto& [name, value] : variant.attributes.values()) {
      absl::StrAppend(&kind, name, "=", ops::AttributeToString(value), ";");
    }
    for (const auto* types : {&variant.inputs, &variant.outputs}) {
      for (const TensorType& type : *types) {
        absl::StrAppend(&kind, ops::DataTypeName(type.dtype), ",");
      }
      absl::StrAppend(&kind, "->");
    }
    by_kind[kind].push_back(std::move(variant));
  }
  for (const auto& [kind, variants] : by_kind) {
    constexpr size_t kParts = 50;
    std::vector<Variant> parts;
    while (parts.size() < kParts) {
      parts.insert(parts.end(), variants.begin(), variants.end());
    }
    const auto group = RunGroup(def, parts, kernels);
    if (!group.ok()) {
      errors.Add(kind, " as a group: ", group.status().message());
      continue;
    }
    for (size_t part = 0; part < parts.size(); ++part) {
      const auto alone = RunWhole(def, parts[part], {}, kernels);
      if (!alone.ok()) {
        errors.Add(parts[part].name, ": ", alone.status().message());
        break;
      }
      CompareBits(absl::StrCat(parts[part].name, " as part ", part), *alone,
                  (*group)[part], &errors);
    }
  }
  return errors.Take();
}

std::vector<std::string> CheckGradientRule(const OpDef& def,
                                           ops::OpLookup lookup) {
  Errors errors(def);
  if (def.gradient == nullptr) return {};
  for (const Variant& variant : MakeVariants(def, errors.list())) {
    ops::Graph graph;
    ops::GraphBuilder builder(&graph, lookup);
    std::vector<ops::TensorId> inputs;
    for (const TensorType& type : variant.inputs) {
      inputs.push_back(ops::AddGiven(&builder, "input", type));
    }
    const absl::StatusOr<std::vector<ops::TensorId>> outputs =
        builder.Add(def.name, "node", inputs, variant.attributes);
    if (!outputs.ok()) {
      errors.Add(variant.name, ": ", outputs.status().message());
      continue;
    }
    const auto node = static_cast<ops::NodeId>(graph.nodes.size()) - 1;
    std::vector<ops::TensorId> gradients;
    for (const TensorType& type : variant.outputs) {
      gradients.push_back(ops::IsFloating(type.dtype)
                              ? ops::AddGiven(&builder, "gradient", type)
                              : ops::kNone);
    }
    // set_input_gradient CHECKs the gradient's type.
    ops::GradientContext context(&builder, node, gradients);
    absl::Status status = def.gradient(&context);
    if (status.ok()) status = ops::VerifyGraph(graph, lookup);
    if (!status.ok()) {
      errors.Add(variant.name, ": gradient: ", status.message());
      continue;
    }
    bool any = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool given = context.input_gradient(i) != ops::kNone;
      any |= given;
      if (given && !ops::IsFloating(variant.inputs[i].dtype)) {
        errors.Add(variant.name, ": gradient by the integer input ", i);
      }
    }
    if (!any) errors.Add(variant.name, ": the gradient rule gives no gradient");
  }
  return errors.Take();
}

}  // namespace facet::tests
