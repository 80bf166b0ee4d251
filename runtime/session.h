// Session: a plan being run: its devices' arenas, kernels, communicators,
// actors and threads. It executes and never decides: all choices stand in the
// plan.
#ifndef FACET_RUNTIME_SESSION_H_
#define FACET_RUNTIME_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "ops/graph/data_type.h"
#include "ops/graph/graph.h"
#include "ops/graph/shape.h"
#include "placement/plan/plan.pb.h"
#include "runtime/device/device.h"
#include "runtime/processes/process_group.h"
#include "runtime/trace/timeline.h"

namespace facet::runtime {

// A logical tensor on the host, row-major.
struct HostTensor {
  ops::DataType dtype = ops::DataType::kFloat32;
  ops::Shape shape;
  std::vector<char> data;

  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data.data());
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.data());
  }
};

struct SessionOptions {
  int64_t seed = 0;
  // Those that run the plan together, each in a session of its own; null: this
  // one alone. Each has its ProcessOfDevice share of the devices. Not owned,
  // outlives the session.
  ProcessGroup* processes = nullptr;
  ops::DataSource* data_source = nullptr;  // Not owned; outlives the session.
  ops::FetchSink* fetch_sink = nullptr;    // Not owned; outlives the session.
  // Asynchronous devices: from the second step on, tasks that are the same in
  // every step are recorded and replayed, as many at once as have nothing
  // between them that waits (CUDA graphs). The host has less to do.
  bool replay = false;
  // What kernels, the data source and messages know the session's first step
  // as: how many an earlier session has done.
  int64_t first_step = 0;
  // After every task looks at all that it wrote, on all kinds of devices, and
  // waits for it: slow; not with `replay`. Otherwise FirstNonFinite knows of
  // some tensors only.
  bool check_finite = false;
  Timeline* timeline = nullptr;  // If set, every task is recorded. Not owned.
  // A step in which nothing finishes for this long ends the run with a
  // DeadlineExceeded error that names the tasks that wait and for what. A task
  // that hangs then still does, and the session's end waits for it.
  absl::Duration stall_timeout = absl::Minutes(10);
};

// Thread-compatible: one caller at a time.
class Session {
 public:
  // Validates the plan, allocates, makes the kernels, starts the threads and
  // runs the tasks marked `once` (variables get their first values). `devices`
  // by plan device id, of matching kinds, not owned, outliving the session;
  // null where another process has it.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const placement::Plan& plan, const std::vector<Device*>& devices,
      const SessionOptions& options);
  virtual ~Session() = default;

  // Runs `steps` more steps and waits for their end. The data stream works
  // ahead within a call, not beyond it. After an error (the first one, of any
  // task) the session stays failed: every later Run returns it.
  virtual absl::Status Run(int64_t steps) = 0;
  virtual int64_t steps_done() const = 0;
  virtual bool is_first_process() const = 0;

  // Where there are several processes, what follows is called by all of them
  // alike. The value is that of process 0: WriteVariable and WriteRows ignore
  // what the others give; ReadRows gives to process 0 only, and the others'
  // `rows` may be null. ReadVariable gives it to all.
  //
  // The logical value of a variable, put together from its shares (a broadcast
  // one: of the first device; the parts of a partial one are added), after the
  // plan's settle tasks if steps were run since. Not while Run runs. NotFound
  // names it and says which there are.
  virtual absl::StatusOr<HostTensor> ReadVariable(absl::string_view name) = 0;
  // Type and shape must be the variable's, and the data of that size.
  virtual absl::Status WriteVariable(absl::string_view name,
                                     const HostTensor& value) = 0;
  virtual std::vector<std::string> VariableNames() const = 0;
  // The same for rows [begin, end) of a variable too large to have twice: its
  // type and shape, and the rows as bytes, row-major. OutOfRange names the rows
  // there are.
  virtual absl::StatusOr<ops::TensorType> VariableType(
      absl::string_view name) const = 0;
  virtual absl::Status ReadRows(absl::string_view name, int64_t begin,
                                int64_t end, char* rows) = 0;
  virtual absl::Status WriteRows(absl::string_view name, int64_t begin,
                                 int64_t end, const char* rows) = 0;

  // The first tensor with a value that is not finite in step `since` or a later
  // one, as far as the session looks (TaskRunner::NonFiniteOutput) and on this
  // process's devices: "step 12: layer3.4.bn2/statistics on cpu:1, from
  // layer3.4.bn2". Empty if there was none. A step's first by time; of steps
  // between the very first and the last few none is kept. Any thread: a
  // FetchSink that sees a bad loss asks this. For collectives and copies: where
  // it first appeared.
  virtual std::string FirstNonFinite(int64_t since) const = 0;

  // Bytes of each device's arena: what the plan predicted, and the most of it
  // that was resident (touched) so far. 0 where another process has it.
  struct DeviceMemory {
    int64_t planned_bytes = 0;
    int64_t resident_bytes = 0;
  };
  virtual std::vector<DeviceMemory> memory() const = 0;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_SESSION_H_
