// PlanGraph: the operators of a plan, as one device runs them, and the
// collectives between them; repeated blocks folded. What is drawn.
#ifndef FACET_PLACEMENT_TOOL_PLAN_GRAPH_H_
#define FACET_PLACEMENT_TOOL_PLAN_GRAPH_H_

#include <string>
#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

struct GraphNode {
  int task = 0;            // In the plan; of the first device.
  std::vector<int> tasks;  // All that it stands for, of one repetition.
  std::string name;        // Of the task, folded: "layer3.1-13.conv1".
  std::string short_name;  // Without the block's: "conv1".
  int block = 0;           // Index into PlanGraph::blocks.
};

// A block of the network, or what lies between two: of one part and phase.
struct GraphBlock {
  std::string name;  // "layer3.1-13", "head"
  int times = 1;
};

struct GraphEdge {
  int from = 0, to = 0;  // Nodes.
  int reg = 0;           // The register that is read, in the plan.
};

struct PlanGraph {
  std::vector<GraphNode> nodes;  // In plan order.
  std::vector<GraphBlock> blocks;
  std::vector<GraphEdge> edges;  // Forwards, each pair of nodes once.
  // By task of the plan: the node that stands for it, on whatever device and in
  // whatever repetition; -1: none is drawn.
  std::vector<int> node_of_task;
};

struct PlanGraphOptions {
  bool unfold = false;
  bool backward = false;  // Also the backward pass and the optimizer.
  // A layer's operators as one node, unless there is a collective among them.
  bool merge_layers = false;
};

// Of a valid plan. Packing, unpacking and changes of layout are left out: edges
// go through them.
PlanGraph MakePlanGraph(const Plan& plan, const PlanGraphOptions& options);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_GRAPH_H_
