#include "ops/nd_signature.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/graph/shard.h"

namespace facet::ops {
namespace {

std::vector<TensorType> SmallestShares(absl::Span<const TensorType> types,
                                       const std::vector<Sbp>& sbps, int k) {
  std::vector<TensorType> shares(types.begin(), types.end());
  for (size_t i = 0; i < shares.size(); ++i) {
    shares[i].shape = LocalRegion(shares[i].shape, sbps[i], k, k - 1).shape;
  }
  return shares;
}

void Append(const Signature& along_axis, NdSignature* signature) {
  for (size_t i = 0; i < along_axis.inputs.size(); ++i) {
    signature->inputs[i].push_back(along_axis.inputs[i]);
  }
  for (size_t o = 0; o < along_axis.outputs.size(); ++o) {
    signature->outputs[o].push_back(along_axis.outputs[o]);
  }
}

// Puts all ways to go on along `axis` and those behind it into `all`.
void Extend(const OpDef& def, const OpCall& call, const Mesh& mesh, int axis,
            const NdSignature& outer, std::vector<NdSignature>* all) {
  if (axis == mesh.num_axes()) {
    all->push_back(outer);
    return;
  }
  const int k = mesh.sizes[axis];
  for (const Signature& along_axis : LegalSignatures(def, call, k)) {
    NdSignature signature = outer;
    Append(along_axis, &signature);
    const auto inputs = SmallestShares(call.inputs, along_axis.inputs, k);
    const auto outputs = SmallestShares(call.outputs, along_axis.outputs, k);
    Extend(def, {call.attributes, inputs, outputs}, mesh, axis + 1, signature,
           all);
  }
}

template <typename Predicate>
bool Any(const NdSignature& signature, const Predicate& predicate) {
  return std::any_of(signature.inputs.begin(), signature.inputs.end(),
                     predicate) ||
         std::any_of(signature.outputs.begin(), signature.outputs.end(),
                     predicate);
}

bool MixesPartials(const NdSignature& signature) {
  return Any(signature, [](const NdSbp& sbp) { return sbp.mixes_partials(); });
}

// Split, but the same on several devices.
bool CopiesShares(const NdSignature& signature) {
  return Any(signature, [](const NdSbp& sbp) {
    return sbp.any_split() &&
           std::find(sbp.begin(), sbp.end(), Sbp::B()) != sbp.end();
  });
}

}  // namespace

std::string NdSignature::ToString() const {
  auto list = [](const std::vector<NdSbp>& sbps) {
    return absl::StrJoin(sbps, ", ", [](std::string* out, const NdSbp& sbp) {
      out->append(sbp.ToString());
    });
  };
  return absl::StrCat("(", list(inputs), ") -> (", list(outputs), ")");
}

std::vector<NdSignature> LegalNdSignatures(const OpDef& def, const OpCall& call,
                                           const Mesh& mesh) {
  const NdSignature none{std::vector<NdSbp>(call.inputs.size()),
                         std::vector<NdSbp>(call.outputs.size())};
  std::vector<NdSignature> all;
  Extend(def, call, mesh, 0, none, &all);
  const bool reports = def.stream == StreamKind::kHost;
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&](const NdSignature& signature) {
                             return MixesPartials(signature) ||
                                    (reports && CopiesShares(signature));
                           }),
            all.end());
  return all;
}

NdSignature UniformNd(int num_inputs, int num_outputs, int num_axes, Sbp sbp) {
  return {std::vector<NdSbp>(num_inputs, NdSbp::Uniform(num_axes, sbp)),
          std::vector<NdSbp>(num_outputs, NdSbp::Uniform(num_axes, sbp))};
}

}  // namespace facet::ops
