#include "ops/op_def.h"

#include "glog/logging.h"
#include "ops/graph/shard.h"

namespace facet::ops {

absl::string_view StreamKindName(StreamKind kind) {
  switch (kind) {
    case StreamKind::kCompute:
      return "compute";
    case StreamKind::kCommunication:
      return "communication";
    case StreamKind::kData:
      return "data";
    case StreamKind::kHost:
      return "host";
  }
  LOG(FATAL) << "unknown StreamKind " << static_cast<int>(kind);
  return "";
}

std::vector<Signature> LegalSignatures(const OpDef& def, const OpCall& call,
                                       int num_devices) {
  CHECK(def.signatures != nullptr) << def.name << " has no signatures";
  auto shardable = [&](absl::Span<const TensorType> types,
                       const std::vector<Sbp>& sbps) {
    CHECK_EQ(types.size(), sbps.size()) << def.name;
    for (size_t i = 0; i < types.size(); ++i) {
      if (!IsShardable(types[i].shape, sbps[i], num_devices)) return false;
    }
    return true;
  };
  std::vector<Signature> legal;
  for (Signature& signature : def.signatures(call, num_devices)) {
    if (shardable(call.inputs, signature.inputs) &&
        shardable(call.outputs, signature.outputs)) {
      legal.push_back(std::move(signature));
    }
  }
  return legal;
}

Cost LocalCost(const OpDef& def, const OpCall& local) {
  if (def.cost != nullptr) return def.cost(local);
  Cost cost;
  for (const TensorType& type : local.inputs) cost.bytes += type.size_bytes();
  for (const TensorType& type : local.outputs) cost.bytes += type.size_bytes();
  return cost;
}

Signature Uniform(int num_inputs, int num_outputs, Sbp sbp) {
  return {std::vector<Sbp>(num_inputs, sbp),
          std::vector<Sbp>(num_outputs, sbp)};
}

std::vector<Signature> UniformSignatures(int num_inputs, int num_outputs,
                                         int rank) {
  std::vector<Signature> signatures = {
      Uniform(num_inputs, num_outputs, Sbp::B())};
  for (int axis = 0; axis < rank; ++axis) {
    signatures.push_back(Uniform(num_inputs, num_outputs, Sbp::S(axis)));
  }
  return signatures;
}

}  // namespace facet::ops
