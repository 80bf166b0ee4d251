// A convolution and the statistics of its result for batch norm, in one pass
// where a library can: what conv2d and batch_norm_statistics do, which it
// replaces where that was measured to be faster (OpDef::joins). In bytes, for a
// result of A, A less to read.
#include <utility>
#include <vector>

#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {

// What it joins.
OpDef Conv2dDef();
OpDef BatchNormStatisticsDef();

namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  RETURN_IF_ERROR(Conv2dDef().infer(call, outputs));
  const std::vector<TensorType> y = *outputs;
  return BatchNormStatisticsDef().infer({call.attributes, y, {}}, outputs);
}

// The statistics of a device are of what it has of y.
std::vector<Signature> Signatures(const OpCall& call, int num_devices) {
  const OpCall statistics = {call.attributes, call.outputs.subspan(0, 1),
                             call.outputs.subspan(1)};
  std::vector<Signature> both;
  for (const Signature& first : Conv2dDef().signatures(call, num_devices)) {
    for (const Signature& second :
         BatchNormStatisticsDef().signatures(statistics, num_devices)) {
      if (second.inputs != first.outputs) continue;
      Signature signature = first;
      signature.outputs.insert(signature.outputs.end(), second.outputs.begin(),
                               second.outputs.end());
      both.push_back(std::move(signature));
    }
  }
  return both;
}

Cost CostOf(const OpCall& local) {
  Cost cost = Conv2dDef().cost(
      {local.attributes, local.inputs, local.outputs.subspan(0, 1)});
  cost.flops += BatchNormStatisticsDef()
                    .cost({local.attributes, local.outputs.subspan(0, 1),
                           local.outputs.subspan(1)})
                    .flops;
  cost.bytes += local.outputs[1].size_bytes() + local.outputs[2].size_bytes();
  return cost;
}

}  // namespace

OpDef Conv2dStatisticsDef() {
  const OpDef convolution = Conv2dDef(), statistics = BatchNormStatisticsDef();
  OpDef def;
  def.name = "conv2d_statistics";
  def.summary = "conv2d, and batch_norm_statistics of its result";
  def.attributes = convolution.attributes;
  def.attributes.insert(def.attributes.end(), statistics.attributes.begin(),
                        statistics.attributes.end());
  def.inputs = convolution.inputs;
  def.outputs = convolution.outputs;
  def.outputs.insert(def.outputs.end(), statistics.outputs.begin(),
                     statistics.outputs.end());
  def.infer = Infer;
  def.signatures = Signatures;
  def.cost = CostOf;
  def.joins = {convolution.name, statistics.name};
  def.precision = convolution.precision;
  def.layout = convolution.layout;
  for (int64_t groups : {1, 2, 4}) {
    for (OpExample example : convolution.examples) {
      // Uneven groups, but of four, which two devices can share evenly.
      if (groups == 4) {
        const Shape& x = example.inputs[0].shape;
        example.inputs[0].shape = {8, x[1], x[2], x[3]};
      }
      example.attributes.Set("groups", groups);
      def.examples.push_back(std::move(example));
    }
  }
  return def;
}

}  // namespace facet::ops
