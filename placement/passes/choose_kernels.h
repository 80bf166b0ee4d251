// ChooseKernels: by which kernel each task is computed, where the operator's
// attributes leave it to the device (KernelDef::alternatives), and which tasks
// one kernel computes together; then what each task's kernel needs: workspace
// and predicted time.
#ifndef FACET_PLACEMENT_PASSES_CHOOSE_KERNELS_H_
#define FACET_PLACEMENT_PASSES_CHOOSE_KERNELS_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ops/graph/attributes.h"
#include "ops/op_def.h"
#include "placement/cluster.h"
#include "placement/passes/split_per_device.h"

namespace facet::placement {

// Fills in attributes, workspace_bytes and predicted_seconds of all tasks that
// run kernels. Of the alternatives:
// - All devices' shares of a node take the same, so that equal shares get equal
//   bits.
// - Those that have the settings of `preferred` come before all others
//   ({"algorithm", "direct"}), wherever one has them.
// - Of what is left, the fastest by cluster.kernel_timer; of unequal shares the
//   slowest counts, because the others wait for it. The first, if there is no
//   timer or it could measure none.
// What the timer measured of a task's own kernel is its predicted time.
// Tasks that an op of `ops` joins (join_tasks.h) are joined where the timer
// says that a kernel made for that, one of its alternatives that changes the
// attributes, takes less than both of them.
// Equal kernels are asked for once. Unimplemented, naming the task, if the
// devices have no kernel for an op. Deterministic, given the timer's answers.
absl::StatusOr<TaskGraph> ChooseKernels(TaskGraph graph, const Cluster& cluster,
                                        const ops::Attributes& preferred,
                                        absl::Span<const ops::OpDef> ops,
                                        ops::OpLookup lookup);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_CHOOSE_KERNELS_H_
