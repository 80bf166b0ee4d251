#include "ops/graph_builder.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::string_view TypeName(const AttributeValue& value) {
  static constexpr absl::string_view kNames[] = {"bool", "int", "float",
                                                 "string", "ints"};
  return kNames[value.index()];
}

// Fills in defaults; refuses what the op does not know.
absl::Status CompleteAttributes(const OpDef& def, Attributes* attributes) {
  std::set<std::string> known;
  for (const AttributeSpec& spec : def.attributes) {
    known.insert(spec.name);
    auto it = attributes->values().find(spec.name);
    if (it == attributes->values().end()) {
      if (spec.required) {
        return absl::InvalidArgumentError(absl::StrCat(
            "op ", def.name, " needs the attribute \"", spec.name, "\""));
      }
      attributes->Set(spec.name, spec.initial);
    } else if (it->second.index() != spec.initial.index()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "attribute \"", spec.name, "\" of op ", def.name, " is ",
          AttributeToString(it->second), ", a ", TypeName(it->second),
          "; expected a ", TypeName(spec.initial)));
    }
  }
  for (const auto& [name, value] : attributes->values()) {
    if (known.count(name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("op ", def.name, " has no attribute \"", name,
                       "\"; it has: ", absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInputCount(const OpDef& def, int count) {
  const int most = static_cast<int>(def.inputs.size());
  const int least = most - def.num_optional_inputs;
  if (count >= least && (count <= most || def.variadic)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("op ", def.name, " got ", count, " inputs; it takes (",
                   absl::StrJoin(def.inputs, ", "), ")",
                   def.num_optional_inputs > 0 ? ", the last optional" : "",
                   def.variadic ? ", the last one or more times" : ""));
}

absl::Status Prefixed(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(prefix, ": ", status.message()));
}

}  // namespace

GraphBuilder::GraphBuilder(Graph* graph, OpLookup lookup)
    : graph_(graph), lookup_(lookup) {
  for (const Node& node : graph_->nodes) names_[node.name] = 2;
}

std::string GraphBuilder::UniqueName(absl::string_view wish) {
  const std::string base(wish);
  auto [it, is_new] = names_.emplace(base, 2);
  if (is_new) return base;
  // `base` is taken: the next free suffix. Insertion may move the map's
  // entries, so the counter is written back by key.
  int suffix = it->second;
  std::string name;
  do {
    name = absl::StrCat(base, "_", suffix++);
  } while (!names_.emplace(name, 2).second);
  names_[base] = suffix;
  return name;
}

absl::StatusOr<std::vector<TensorId>> GraphBuilder::Add(
    absl::string_view op, absl::string_view name,
    absl::Span<const TensorId> inputs, Attributes attributes) {
  const OpDef* def = lookup_(op);
  if (def == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": unknown op \"", op, "\""));
  }
  RETURN_IF_ERROR(Prefixed(CompleteAttributes(*def, &attributes), name));
  RETURN_IF_ERROR(
      Prefixed(CheckInputCount(*def, static_cast<int>(inputs.size())), name));
  std::vector<TensorType> input_types;
  for (TensorId input : inputs) {
    CHECK(input >= 0 && input < static_cast<int>(graph_->tensors.size()))
        << std::string(name) << ": tensor id " << input;
    input_types.push_back(graph_->tensors[input].type);
  }
  std::vector<TensorType> output_types;
  RETURN_IF_ERROR(
      Prefixed(def->infer({attributes, input_types, {}}, &output_types), name));

  const NodeId id = static_cast<NodeId>(graph_->nodes.size());
  Node node;
  node.name = UniqueName(name);
  node.op = def->name;
  node.attributes = std::move(attributes);
  node.inputs.assign(inputs.begin(), inputs.end());
  node.origin = origin_;
  if (node.origin.layer.empty()) node.origin.layer = node.name;
  for (size_t i = 0; i < output_types.size(); ++i) {
    node.outputs.push_back(static_cast<TensorId>(graph_->tensors.size()));
    graph_->tensors.push_back(
        {i == 0 ? node.name : absl::StrCat(node.name, ":", i), output_types[i],
         id, static_cast<int>(i)});
  }
  std::vector<TensorId> outputs = node.outputs;
  graph_->nodes.push_back(std::move(node));
  return outputs;
}

absl::StatusOr<std::vector<TensorId>> GraphBuilder::AddCopy(
    const Graph& graph, const Node& node, absl::Span<const TensorId> inputs) {
  set_origin(node.origin);
  ASSIGN_OR_RETURN(std::vector<TensorId> outputs,
                   Add(node.op, node.name, inputs, node.attributes));
  for (size_t o = 0; o < outputs.size(); ++o) {
    graph_->tensors[outputs[o]].name = graph.tensors[node.outputs[o]].name;
  }
  return outputs;
}

TensorId GraphBuilder::Add1(absl::string_view op, absl::string_view name,
                            absl::Span<const TensorId> inputs,
                            Attributes attributes) {
  if (!status_.ok()) return kNone;
  absl::StatusOr<std::vector<TensorId>> outputs =
      Add(op, name, inputs, std::move(attributes));
  if (!outputs.ok()) {
    status_ = outputs.status();
    return kNone;
  }
  return outputs->empty() ? kNone : outputs->front();
}

const TensorType& GraphBuilder::type(TensorId tensor) const {
  CHECK(tensor >= 0 && tensor < static_cast<int>(graph_->tensors.size()))
      << "tensor id " << tensor;
  return graph_->tensors[tensor].type;
}

const OpDef& GraphBuilder::def(NodeId node) const {
  const OpDef* def = lookup_(graph_->nodes[node].op);
  CHECK(def != nullptr) << graph_->nodes[node].op;
  return *def;
}

NodeCall::NodeCall(const Graph& graph, NodeId node)
    : attributes_(&graph.nodes[node].attributes) {
  for (TensorId t : graph.nodes[node].inputs) {
    inputs_.push_back(graph.tensors[t].type);
  }
  for (TensorId t : graph.nodes[node].outputs) {
    outputs_.push_back(graph.tensors[t].type);
  }
}

absl::Status VerifyGraph(const Graph& graph, OpLookup lookup) {
  const int num_tensors = static_cast<int>(graph.tensors.size());
  std::set<std::string> names;
  std::vector<bool> produced(num_tensors, false);
  std::vector<NodeId> mutator(num_tensors, kNone);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    auto error = [&](auto&&... parts) {
      return absl::InternalError(absl::StrCat("graph node ", node.name, " (",
                                              node.op, "): ", parts...));
    };
    if (!names.insert(node.name).second) return error("name used twice");
    if (node.origin.every < 1) {
      return error("works in every ", node.origin.every, " steps");
    }
    const OpDef* def = lookup(node.op);
    if (def == nullptr) return error("unknown op");
    if (def->is_variable && node.origin.every != 1) {
      return error("is there in every step, not in every ", node.origin.every);
    }
    std::vector<TensorType> inputs;
    for (TensorId t : node.inputs) {
      if (t < 0 || t >= num_tensors) return error("input id ", t);
      if (!produced[t]) {
        return error("reads ", graph.tensors[t].name,
                     ", which no earlier node produces");
      }
      const Node& producer = graph.nodes[graph.tensors[t].producer];
      if (node.origin.every % producer.origin.every != 0) {
        return error("works in every ", node.origin.every, " steps, but reads ",
                     graph.tensors[t].name, ", made in every ",
                     producer.origin.every);
      }
      inputs.push_back(graph.tensors[t].type);
    }
    std::vector<TensorType> expected;
    absl::Status inferred =
        def->infer({node.attributes, inputs, {}}, &expected);
    if (!inferred.ok()) return error(inferred.message());
    if (expected.size() != node.outputs.size()) {
      return error("has ", node.outputs.size(), " outputs, infer gives ",
                   expected.size());
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const TensorId t = node.outputs[i];
      if (t < 0 || t >= num_tensors) return error("output id ", t);
      const Tensor& tensor = graph.tensors[t];
      if (tensor.producer != static_cast<NodeId>(n) ||
          tensor.output_index != static_cast<int>(i)) {
        return error("output ", tensor.name, " names another producer");
      }
      if (tensor.type != expected[i]) {
        return error("output ", tensor.name, " is ", tensor.type.ToString(),
                     ", infer gives ", expected[i].ToString());
      }
      produced[t] = true;
    }
    for (int m : def->mutates) {
      if (m >= static_cast<int>(node.inputs.size())) continue;
      const TensorId t = node.inputs[m];
      const OpDef* source = lookup(graph.nodes[graph.tensors[t].producer].op);
      if (!source->is_variable) {
        return error("mutates ", graph.tensors[t].name,
                     ", which is not a variable");
      }
      if (mutator[t] != kNone) {
        return error("mutates ", graph.tensors[t].name, ", as ",
                     graph.nodes[mutator[t]].name, " does already");
      }
      mutator[t] = static_cast<NodeId>(n);
    }
  }
  for (int t = 0; t < num_tensors; ++t) {
    if (!produced[t]) {
      return absl::InternalError(absl::StrCat(
          "graph tensor ", graph.tensors[t].name, " has no producer"));
    }
  }
  return absl::OkStatus();
}

}  // namespace facet::ops
