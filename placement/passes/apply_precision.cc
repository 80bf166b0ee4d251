#include "placement/passes/apply_precision.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::PrecisionRule;
using ops::TensorId;

// By input of a node with `count` inputs: the op's precision rule names it. A
// variadic last operand stands for all its repetitions.
std::vector<bool> RuleOperands(const ops::OpDef& def, size_t count) {
  std::vector<bool> operands(count, false);
  for (int operand : def.precision.operands) {
    const size_t begin = std::min<size_t>(operand, count);
    const bool repeats =
        def.variadic && begin + 1 == static_cast<size_t>(def.inputs.size());
    const size_t end = repeats ? count : std::min(begin + 1, count);
    std::fill(operands.begin() + begin, operands.begin() + end, true);
  }
  return operands;
}

// Copies the graph node by node, with casts before nodes that need them; the
// types follow from the ops' own inference.
class PrecisionPass {
 public:
  PrecisionPass(const ops::Graph& graph, DataType half, ops::OpLookup lookup)
      : graph_(graph), half_(half), lookup_(lookup), builder_(&out_, lookup) {
    out_.name = graph.name;
  }
  PrecisionPass(const PrecisionPass&) = delete;
  PrecisionPass& operator=(const PrecisionPass&) = delete;

  absl::StatusOr<ops::Graph> Run() {
    std::vector<TensorId> new_id(graph_.tensors.size(), ops::kNone);
    for (const ops::Node& node : graph_.nodes) {
      const ops::OpDef& def = *lookup_(node.op);
      std::vector<TensorId> inputs;
      for (TensorId t : node.inputs) inputs.push_back(new_id[t]);
      const std::vector<DataType> want = WantedTypes(node, def, inputs);
      for (size_t i = 0; i < inputs.size(); ++i) {
        ASSIGN_OR_RETURN(inputs[i],
                         Cast(inputs[i], want[i], node.origin.phase));
      }
      ASSIGN_OR_RETURN(const std::vector<TensorId> outputs,
                       builder_.AddCopy(graph_, node, inputs));
      for (size_t o = 0; o < outputs.size(); ++o) {
        new_id[node.outputs[o]] = outputs[o];
      }
    }
    return std::move(out_);
  }

 private:
  bool ComputesInHalf(const ops::Node& node, const ops::OpDef& def,
                      const std::vector<TensorId>& inputs) const {
    if (node.origin.keep_float32) return false;
    switch (def.precision.kind) {
      case PrecisionRule::Kind::kFloat32:
        return false;
      case PrecisionRule::Kind::kHalf:
        return true;
      case PrecisionRule::Kind::kFollow: {
        CHECK(!def.precision.operands.empty()) << def.name;
        const int leader = def.precision.operands.front();
        return leader < static_cast<int>(inputs.size()) &&
               ops::IsHalf(builder_.type(inputs[leader]).dtype);
      }
    }
    LOG(FATAL) << "unknown precision rule of " << def.name;
    return false;
  }

  // By input: the type in which the node gets it.
  std::vector<DataType> WantedTypes(const ops::Node& node,
                                    const ops::OpDef& def,
                                    const std::vector<TensorId>& inputs) const {
    const bool in_half = ComputesInHalf(node, def, inputs);
    const std::vector<bool> operands = RuleOperands(def, inputs.size());
    std::vector<DataType> want;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const DataType dtype = builder_.type(inputs[i]).dtype;
      want.push_back(!ops::IsFloating(dtype)  ? dtype
                     : in_half && operands[i] ? half_
                                              : DataType::kFloat32);
    }
    const std::vector<DataType> stored = WithVariablesAsStored(inputs, want);
    return stored != want && ComputesTheSame(node, def, inputs, stored) ? stored
                                                                        : want;
  }

  // `types`, but for variables that are stored in half and would be cast to
  // float32.
  std::vector<DataType> WithVariablesAsStored(
      const std::vector<TensorId>& inputs, std::vector<DataType> types) const {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ops::Tensor& tensor = out_.tensors[inputs[i]];
      if (types[i] == DataType::kFloat32 && ops::IsHalf(tensor.type.dtype) &&
          lookup_(out_.nodes[tensor.producer].op)->is_variable) {
        types[i] = tensor.type.dtype;
      }
    }
    return types;
  }

  // Whether the op takes inputs of these types, and makes of them what it makes
  // of the node's inputs in the graph before this pass: it then converts them
  // itself, without a copy.
  bool ComputesTheSame(const ops::Node& node, const ops::OpDef& def,
                       const std::vector<TensorId>& inputs,
                       const std::vector<DataType>& types) const {
    std::vector<ops::TensorType> operands;
    for (size_t i = 0; i < inputs.size(); ++i) {
      operands.push_back({types[i], builder_.type(inputs[i]).shape});
    }
    std::vector<ops::TensorType> outputs;
    if (!def.infer({node.attributes, operands, {}}, &outputs).ok()) {
      return false;
    }
    for (size_t o = 0; o < outputs.size(); ++o) {
      if (outputs[o] != graph_.tensors[node.outputs[o]].type) return false;
    }
    return true;
  }

  // The tensor in this type: itself, or a cast that later readers share.
  absl::StatusOr<TensorId> Cast(TensorId tensor, DataType dtype,
                                ops::Phase phase) {
    const ops::Tensor from = out_.tensors[tensor];
    if (from.type.dtype == dtype) return tensor;
    auto [it, is_new] = casts_.try_emplace({tensor, dtype}, ops::kNone);
    if (is_new) {
      ops::Origin origin = out_.nodes[from.producer].origin;
      origin.phase = phase;
      builder_.set_origin(std::move(origin));
      const std::string name(ops::DataTypeName(dtype));
      ASSIGN_OR_RETURN(
          const std::vector<TensorId> outputs,
          builder_.Add("cast", absl::StrCat(from.name, "/cast_", name),
                       {tensor}, {{"dtype", name}}));
      it->second = outputs[0];
    }
    return it->second;
  }

  const ops::Graph& graph_;
  const DataType half_;
  const ops::OpLookup lookup_;
  ops::Graph out_;
  ops::GraphBuilder builder_;
  std::map<std::pair<TensorId, DataType>, TensorId> casts_;
};

}  // namespace

absl::StatusOr<ops::Graph> ApplyPrecision(const ops::Graph& graph,
                                          DataType half, ops::OpLookup lookup) {
  CHECK(ops::IsHalf(half)) << std::string(ops::DataTypeName(half));
  return PrecisionPass(graph, half, lookup).Run();
}

}  // namespace facet::placement
