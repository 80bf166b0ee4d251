// The parts of ValidatePlan, in the order they run: each relies on what those
// before it have checked. Private to validate.
#ifndef FACET_PLACEMENT_PLAN_VALIDATE_PARTS_H_
#define FACET_PLACEMENT_PLAN_VALIDATE_PARTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/graph/attributes.h"
#include "ops/graph/mesh.h"
#include "ops/nd_signature.h"
#include "ops/op_def.h"
#include "placement/plan/firing.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// "task 12 layer1.0.conv1 (conv2d, device 0)".
std::string TaskLabel(const Plan& plan, int task);
std::string RegisterLabel(const Plan& plan, int reg);  // "register 3 x"

// The plan's mesh, for what all its devices share; a row for what fewer do.
ops::Mesh MeshOfRanks(const Plan& plan, int num_ranks);

template <typename... Parts>
absl::Status TaskError(const Plan& plan, int task, const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat("plan: ", TaskLabel(plan, task), ": ", parts...));
}

// Who uses a register. Only the ids of the plan need be in range.
struct RegisterUses {
  std::vector<int> producer;              // By register; -1: none.
  std::vector<std::vector<int>> readers;  // By register: step tasks, once each.
  std::vector<int> mutator;               // By register; -1: none.
};

// Checks each task alone: its stream, operands, op, attributes, workspace.
class TaskChecker {
 public:
  TaskChecker(const Plan& plan, ops::OpLookup lookup)
      : plan_(plan), lookup_(lookup) {}
  absl::Status Check(int task);

 private:
  absl::Status CheckReferences(int task) const;
  absl::Status CheckParts(int task) const;
  // `part`: the task, or one part of it.
  absl::Status CheckKernel(int task, const Task& part);
  absl::Status CheckLayouts(int task, const Task& part,
                            const ops::OpDef& def) const;
  absl::Status CheckShares(int task, const Task& part, const ops::OpDef& def,
                           const ops::Attributes& attributes);
  absl::Status CheckInPlace(int task, const ops::OpDef* def) const;

  const Plan& plan_;
  ops::OpLookup lookup_;
  // The signatures of the node checked last: its tasks on the other devices
  // usually come next.
  struct {
    std::string op;
    std::string attributes;
    std::vector<ops::TensorType> types;
    int num_ranks = 0;
    std::vector<ops::NdSignature> signatures;
  } last_;
};

// Producers and readers of every register fit together.
absl::Status CheckUses(const Plan& plan, RegisterUses* uses);

// Collectives agree over their groups.
absl::Status CheckCollectives(const Plan& plan);

// No deadlock; the step tasks in an order that all edges without a token (with
// collectives joined over their group) allow.
absl::Status CheckFiring(const Plan& plan, const std::vector<FiringEdge>& edges,
                         std::vector<int>* order);

// Nothing is overwritten, by reuse of memory or by an update, that somebody
// has still to read.
absl::Status CheckLifetimes(const Plan& plan, const RegisterUses& uses,
                            const std::vector<FiringEdge>& edges,
                            const std::vector<int>& order);

// 0 ... 3, the value of the ops::StreamKind with this name; -1: none has it.
int StreamIndex(const std::string& name);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_VALIDATE_PARTS_H_
