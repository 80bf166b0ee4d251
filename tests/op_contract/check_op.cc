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
#include "ops/may_round_attribute.h"
#include "ops/nd_signature.h"
#include "ops/testing/given_op.h"
#include "ops/testing/interpreter.h"
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

std::vector<std::string> CheckRounds(const OpDef& def,
                                     const ops::KernelLibrary& kernels) {
  Errors errors(def);
  for (Variant& variant : MakeVariants(def, errors.list())) {
    const bool in_float32 = std::none_of(
        variant.inputs.begin(), variant.inputs.end(),
        [](const TensorType& type) { return ops::IsHalf(type.dtype); });
    if (!variant.attributes.Has(ops::kMayRound) || !in_float32) continue;
    const auto exact = RunWhole(def, variant, {}, kernels);
    variant.attributes.Set(ops::kMayRound, true);
    const auto rounded = RunWhole(def, variant, {}, kernels);
    if (!exact.ok() || !rounded.ok()) {
      errors.Add(variant.name, ": ",
                 (exact.ok() ? rounded : exact).status().message());
      continue;
    }
    Errors differences(def);
    CompareBits(variant.name, *exact, *rounded, &differences);
    if (differences.Take().empty()) {
      errors.Add(variant.name, ": the same bits with may_round");
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
