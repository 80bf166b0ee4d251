// What a plan says, put together for people: its tensors, collectives, layers
// and totals. Of a valid plan; nothing here is estimated.
#ifndef FACET_PLACEMENT_TOOL_PLAN_FACTS_H_
#define FACET_PLACEMENT_TOOL_PLAN_FACTS_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "placement/plan/plan.pb.h"

namespace facet::placement {

// The devices' kind as people call it: "cpu", "v100_sxm2_32gb".
std::string HardwareText(const Plan& plan);

std::string SbpText(const LogicalTensor& tensor);   // "S(0)"
std::string TypeText(const LogicalTensor& tensor);  // "float32[64, 3, 3, 3]"

std::string KindText(const Collective& collective);  // "all-reduce"

struct TensorFacts {
  int64_t bytes = 0;             // Of the logical tensor.
  int64_t bytes_per_device = 0;  // Of the largest share that a device holds.
};
std::vector<TensorFacts> FindTensors(const Plan& plan);  // By tensor.

struct CollectiveFacts {
  int task = 0;            // Of the group's first member, which speaks for all.
  std::string kind;        // "all-reduce"
  std::string transition;  // "P(sum) -> B"
  int ranks = 0;
  // Per step, on average where it does not work in every one.
  int64_t bytes = 0;   // That a device sends.
  double seconds = 0;  // Predicted.
};
std::vector<CollectiveFacts> FindCollectives(const Plan& plan);

// A layer of the model, by the names that the model gives.
struct LayerFacts {
  std::string layer;
  std::string part;
  std::vector<std::string> ops;  // Forward, in order; each once.
  int output = -1;               // The last tensor of the forward pass.
  std::vector<int64_t> share;    // The first device's shape of it.
  // Its variables without the optimizer's.
  std::set<std::string> parameter_sbp;
  int64_t parameter_bytes = 0;  // Per device, the most of any.
  int64_t state_bytes = 0;      // Of the optimizer, likewise.
  std::vector<CollectiveFacts> collectives;
};
// In the order of the forward pass; those without one after them.
std::vector<LayerFacts> FindLayers(const Plan& plan);

struct PlanTotals {
  double arena_over_lower_bound = 1;  // The worst device's.
  int64_t arena_bytes = 0;            // The most of any device.
  int64_t persistent_bytes = 0;       // Likewise.
  int64_t collectives = 0;            // In a step.
  int64_t collective_bytes = 0;       // That a device sends in a step.
  // (search result - its lower bound) / bound: 0 if proven best. Negative: the
  // plan does not say.
  double optimality_gap = -1;
};
PlanTotals FindTotals(const Plan& plan);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PLAN_FACTS_H_
