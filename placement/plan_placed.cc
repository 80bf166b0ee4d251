#include "placement/plan_placed.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/passes/assign_layout.h"
#include "placement/passes/bucket_collectives.h"
#include "placement/passes/choose_kernels.h"
#include "placement/passes/equal_devices.h"
#include "placement/passes/group_tasks.h"
#include "placement/passes/insert_boxing.h"
#include "placement/passes/make_plan.h"
#include "placement/passes/order_tasks.h"
#include "placement/passes/plan_memory.h"
#include "placement/passes/recompute.h"
#include "placement/passes/split_per_device.h"
#include "placement/plan/plan_text.h"
#include "placement/plan/validate.h"

namespace facet::placement {

absl::StatusOr<Plan> PlanPlaced(const PlacedModel& model,
                                const Cluster& cluster,
                                const CompileOptions& options, PassLog* log) {
  // What the choice was between, for people.
  const SbpAssignment& assignment = model.assignment;
  if (model.logits_again) {  // After the graph that stores them.
    RETURN_IF_ERROR(log->Graph("04_fuse", model.graph));
  }
  RETURN_IF_ERROR(log->Done("05_assign_sbp", [&] {
    return AssignmentText(model.graph, assignment);
  }));
  // Boxing before layouts: what moves between devices must be known to say
  // which tensors have to be row-major.
  ASSIGN_OR_RETURN(PlacedGraph placed,
                   InsertBoxing(model.graph, assignment, ops::FindOp));
  RETURN_IF_ERROR(PassLog::Verify("06_insert_boxing", placed.graph));
  RETURN_IF_ERROR(log->Done("06_insert_boxing", [&] {
    return PlacedText(placed.graph, placed.sbp, nullptr);
  }));
  // Before layouts: copies get theirs as everybody does.
  std::vector<ops::TensorId> tensors;
  for (const MadeAgain& again : assignment.again) {
    if (again.gathered) continue;
    tensors.push_back(
        ops::FindTensor(placed.graph, model.graph.tensors[again.tensor].name));
  }
  if (!tensors.empty()) {
    ASSIGN_OR_RETURN(placed, Recompute(placed, tensors, ops::FindOp));
    RETURN_IF_ERROR(PassLog::Verify("07_recompute", placed.graph));
    RETURN_IF_ERROR(log->Done("07_recompute", [&] {
      return PlacedText(placed.graph, placed.sbp, nullptr);
    }));
  }
  // Layouts before the split: reorders are nodes, the same on all devices.
  ASSIGN_OR_RETURN(LaidOutGraph laid_out,
                   AssignLayout(placed, cluster, ops::FindOp));
  RETURN_IF_ERROR(PassLog::Verify("08_assign_layout", laid_out.graph));
  RETURN_IF_ERROR(log->Done("08_assign_layout", [&] {
    return PlacedText(laid_out.graph, laid_out.sbp, &laid_out.layout);
  }));
  ASSIGN_OR_RETURN(
      TaskGraph tasks,
      SplitPerDevice(laid_out, cluster, options.data_credits, ops::FindOp,
                     options.state_equal_once
                         ? FindEqualDevices(laid_out, cluster)
                         : std::vector<int>()));
  RETURN_IF_ERROR(
      log->Done("09_split_per_device", [&] { return TasksText(tasks); }));
  // Kernels before anything that depends on what tasks need: orders, groups,
  // buckets and memory. Workspaces and times are asked for here.
  ASSIGN_OR_RETURN(
      tasks, ChooseKernels(std::move(tasks), cluster, options.preferred_kernels,
                           ops::AllOps(), ops::FindOp));
  RETURN_IF_ERROR(
      log->Done("10_choose_kernels", [&] { return TasksText(tasks); }));
  // An order before groups and buckets: they join what is ready at about the
  // same time.
  ASSIGN_OR_RETURN(tasks, OrderTasks(std::move(tasks)));
  tasks = GroupTasks(std::move(tasks), cluster, ops::FindOp);
  RETURN_IF_ERROR(
      log->Done("11_group_tasks", [&] { return TasksText(tasks); }));
  tasks = BucketCollectives(std::move(tasks));
  RETURN_IF_ERROR(
      log->Done("12_bucket_collectives", [&] { return TasksText(tasks); }));
  // Order before memory: lifetimes are intervals of the order.
  ASSIGN_OR_RETURN(tasks, OrderTasks(std::move(tasks)));
  RETURN_IF_ERROR(
      log->Done("13_order_tasks", [&] { return TasksText(tasks); }));
  ASSIGN_OR_RETURN(const MemoryPlan memory,
                   PlanMemory(tasks, cluster.num_devices()));
  // The plan comes last: its waits depend on what shares memory.
  Plan plan = MakePlan(laid_out, tasks, memory, cluster, ops::FindOp);
  if (!assignment.again.empty() || model.logits_again) {
    Recomputation* sum = plan.mutable_recomputation();
    sum->set_logits(model.logits_again);
    sum->set_tensors(static_cast<int>(tensors.size()));
    sum->set_gathered(
        static_cast<int>(assignment.again.size() - tensors.size()));
    for (const MadeAgain& again : assignment.again) {
      sum->set_bytes(sum->bytes() + static_cast<int64_t>(again.bytes));
    }
    for (const LocalTask& task : tasks.tasks) {
      if (task.device != 0 || !task.origin.again) continue;
      sum->set_seconds(sum->seconds() + task.predicted_seconds);
    }
  }
  plan.set_search_seconds(assignment.seconds);
  plan.set_search_lower_bound_seconds(assignment.lower_bound);
  RETURN_IF_ERROR(log->Done("14_make_plan", [&] { return PlanText(plan); }));
  const absl::Status valid = ValidatePlan(plan);
  if (!valid.ok()) {
    return absl::InternalError(
        absl::StrCat("the compiler made an invalid plan: ", valid.message()));
  }
  return plan;
}

}  // namespace facet::placement
