// TaskRunner: one task of a plan, made ready to run on one device: its
// kernel or communicator, and the addresses of its registers.
#ifndef FACET_RUNTIME_ACTOR_TASK_RUNNER_H_
#define FACET_RUNTIME_ACTOR_TASK_RUNNER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/kernel.h"
#include "placement/plan/plan.pb.h"
#include "runtime/collectives/communicator.h"
#include "runtime/device/device.h"

namespace facet::runtime {

// The share of a tensor that a plan's register holds. The plan is valid.
ops::TensorSlice RegisterSlice(const placement::Register& reg);

// What a task is given besides its registers; constant for a session.
struct TaskEnvironment {
  int64_t seed = 0;
  ops::DataSource* data_source = nullptr;
  ops::FetchSink* fetch_sink = nullptr;
  int64_t first_step = 0;     // What kernels know the session's step 0 as.
  bool check_finite = false;  // NonFiniteOutput looks at everything.
};

class TaskRunner {
 public:
  // Of a validated plan, of which `task` is one. `stream` and `arena` are the
  // task's device's; `communicator` that of the collective's group on this
  // device, null for a kernel. Call on the stream's thread. FailedPrecondition
  // if this machine's kernel needs more workspace than was planned: the plan
  // was compiled for another one.
  static absl::StatusOr<TaskRunner> Create(const placement::Plan& plan,
                                           const placement::Task& task,
                                           Device* device, Stream* stream,
                                           char* arena,
                                           Communicator* communicator,
                                           const TaskEnvironment& environment);

  // Runs the task, or puts its work into the stream (see Stream), if it works
  // in this step (Task.every). Allocates nothing, if the kernel does not.
  // `step`, the session's, selects the slots.
  absl::Status Run(int64_t step);
  // Of the last Run.
  bool works() const { return works_; }
  // True if every run but those of `once` tasks puts the same work into the
  // stream of an asynchronous device, and needs no other rank for it: it may be
  // replayed.
  bool is_same_in_every_step() const { return is_same_in_every_step_; }

  // After Run: the first output that has a value as HasNonFinite finds, -1 if
  // there is none. Looks only at float32 outputs of a few thousand elements in
  // memory that the host can read: losses, norms, and the statistics that every
  // layer's batch norm takes of its input, so it costs nothing and yet finds
  // the layer. With TaskEnvironment::check_finite it waits for the device and
  // looks at everything. An error if a copy from the device fails.
  absl::StatusOr<int> NonFiniteOutput() const;

 private:
  TaskRunner() = default;

  // A register with several slots: its address depends on the step.
  struct Rotating {
    bool is_input = false;
    int operand = 0;
    char* base = nullptr;
    int64_t stride = 0;
    int credits = 1;
  };

  absl::Status RunCollective();
  absl::StatusOr<bool> HasNonFiniteOnDevice(const ops::TensorView& view) const;

  Device* device_ = nullptr;
  bool check_finite_ = false;
  Stream* stream_ = nullptr;
  std::vector<ops::TensorView> inputs_;
  std::vector<ops::TensorView> outputs_;
  std::vector<Rotating> rotating_;
  int64_t first_step_ = 0;
  int every_ = 1;
  bool is_same_in_every_step_ = false;
  bool works_ = true;  // In the step that Run was last called for.
  std::vector<ops::KernelContext> parts_;  // None of a collective.
  ops::GroupKernel kernel_;                // Null for a collective.

  Communicator* communicator_ = nullptr;
  placement::Collective::Kind collective_ = placement::Collective::INVALID;
  ReduceOp reduce_ = ReduceOp::kSum;
  std::vector<ReduceBuffer> buffers_;  // Of an all-reduce.
  std::vector<int64_t> counts_;
  std::vector<int64_t> receive_counts_;
  ops::DataType dtype_ = ops::DataType::kFloat32;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_TASK_RUNNER_H_
