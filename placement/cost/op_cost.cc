#include "placement/cost/op_cost.h"

#include <algorithm>
#include <vector>

#include "ops/graph/nd_sbp.h"
#include "ops/may_round_attribute.h"

namespace facet::placement {
namespace {

std::vector<ops::TensorType> LocalTypes(absl::Span<const ops::TensorType> types,
                                        const std::vector<ops::NdSbp>& sbps,
                                        const ops::Mesh& mesh) {
  std::vector<ops::TensorType> local(types.begin(), types.end());
  for (size_t i = 0; i < local.size(); ++i) {
    local[i].shape = ops::LocalRegion(local[i].shape, sbps[i], mesh, 0).shape;
  }
  return local;
}

bool MayRound(const ops::Attributes& attributes) {
  return attributes.Has(ops::kMayRound) && attributes.Bool(ops::kMayRound);
}

}  // namespace

double LocalOpSeconds(const ops::OpDef& def, const ops::OpCall& local,
                      const DeviceSpec& device) {
  const ops::Cost cost = ops::LocalCost(def, local);
  ops::DataType dtype = ops::DataType::kFloat32;
  for (const ops::TensorType& type : local.inputs) {
    if (ops::IsHalf(type.dtype)) dtype = type.dtype;
  }
  OpRateFactors factors;
  if (const auto it = device.op_rates.find(def.name);
      it != device.op_rates.end()) {
    factors = it->second;
  }
  double flops_per_second =
      device.flops_per_second(dtype) *
      (ops::IsHalf(dtype) ? factors.half : factors.float32);
  if (!ops::IsHalf(dtype) && MayRound(local.attributes) &&
      device.rounded_flops_per_second > 0) {
    // By tensor cores, as half precision.
    flops_per_second = device.rounded_flops_per_second * factors.half;
  }
  return device.launch_seconds +
         std::max(
             cost.flops / flops_per_second,
             cost.bytes / (device.memory_bytes_per_second * factors.memory));
}

double OpSeconds(const ops::OpDef& def, const ops::OpCall& global,
                 const ops::NdSignature& signature, const ops::Mesh& mesh,
                 const DeviceSpec& device) {
  const std::vector<ops::TensorType> inputs =
      LocalTypes(global.inputs, signature.inputs, mesh);
  const std::vector<ops::TensorType> outputs =
      LocalTypes(global.outputs, signature.outputs, mesh);
  return LocalOpSeconds(def, {global.attributes, inputs, outputs}, device);
}

}  // namespace facet::placement
