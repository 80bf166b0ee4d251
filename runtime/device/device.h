// Device: memory and threads to run a plan's tasks on. Implementations:
// cpu_device.h, cuda_device.h.
#ifndef FACET_RUNTIME_DEVICE_DEVICE_H_
#define FACET_RUNTIME_DEVICE_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ops/kernel.h"
#include "ops/op_def.h"
#include "runtime/collectives/communicator.h"
#include "runtime/collectives/rank_places.h"

namespace facet::runtime {

// One contiguous allocation. Freed with the object.
class Arena {
 public:
  virtual ~Arena() = default;
  virtual void* data() const = 0;  // 64-byte aligned at least.
  virtual int64_t size_bytes() const = 0;
  // Those that take memory: pages of the host that were touched, or all.
  virtual int64_t resident_bytes() const = 0;
};

// A mark in the work of a stream. Thread-safe, but recorded by one thread.
class Event {
 public:
  virtual ~Event() = default;

  // True if all work before the mark is done, or it was never recorded. The
  // error of that work if it failed.
  virtual absl::StatusOr<bool> HasPassed() const = 0;
  // Of two timed events that have passed.
  virtual absl::StatusOr<double> SecondsSince(const Event& earlier) const = 0;
};

// Work that was put into a stream of an asynchronous device, to be put there
// again. Destroyed when it is no more in the stream.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
};

// An in-order queue of work of a device. Used by one thread, its own (the one
// that Device::EnterStream prepared).
//
// This class is the stream of a synchronous device: what a task does is done
// when the task returns, and nobody asks for events. On an asynchronous one a
// task returns when its work is in the stream; who needs its result puts a
// wait for an event into a stream, and the host waits for none.
class Stream {
 public:
  virtual ~Stream() = default;

  // What CUDA kernels run on, owned by the stream; null on other devices.
  virtual ops::CudaContext* cuda() { return nullptr; }

  // Moves the mark behind all work that is in this stream.
  virtual absl::Status Record(Event&) { return absl::OkStatus(); }
  // What comes into this stream from now on waits for the event, as it is now;
  // not at all if it was never recorded. Of any stream of the device.
  virtual absl::Status Wait(const Event&) { return absl::OkStatus(); }
  // The calling thread waits for all work in this stream.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // What tasks put into this stream between these two is kept, not done: with
  // the memory that it names, and all else as it was. Neither events nor
  // collectives. EndRecording also ends what failed.
  virtual absl::Status BeginRecording();
  virtual absl::StatusOr<std::unique_ptr<RecordedWork>> EndRecording();
  // Does it, in the order in which it came, as one piece of work.
  virtual absl::Status Replay(const RecordedWork& work);
};

// Thread-safe, except where said.
class Device {
 public:
  virtual ~Device() = default;

  virtual const std::string& name() const = 0;  // "cpu:0"
  virtual const ops::KernelLibrary& kernels() const = 0;

  // True if host code may read and write the device's memory directly.
  virtual bool host_accessible() const = 0;

  // True: its streams need events (see Stream).
  virtual bool asynchronous() const { return false; }
  // Null on a synchronous device. `timed` costs a little more.
  virtual absl::StatusOr<std::unique_ptr<Event>> CreateEvent(bool /*timed*/) {
    return nullptr;
  }

  // The calling thread waits for all work in the device's streams.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // ResourceExhausted with the size asked for and what was there.
  virtual absl::StatusOr<std::unique_ptr<Arena>> Allocate(
      int64_t size_bytes) = 0;

  // Called once by each stream's thread, first thing: pins it to the device's
  // cores and gives it its OpenMP team (or makes a GPU current).
  virtual absl::Status EnterStream(ops::StreamKind kind) = 0;
  virtual absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind kind) = 0;

  // By rank, the ends of a communicator among `group`: devices of this one's
  // kind. Null, as the devices are, where the rank is in another process
  // (`places`); those that have some call it, too, for the same communicators
  // in the same order.
  virtual absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
  CreateCommunicators(absl::Span<Device* const> group,
                      const RankPlaces& places) = 0;

  // Copies between host memory and this device's, after all work in its
  // streams, and waits.
  virtual absl::Status CopyToHost(const void* device, void* host,
                                  int64_t size_bytes) = 0;
  virtual absl::Status CopyFromHost(const void* host, void* device,
                                    int64_t size_bytes) = 0;
};

inline absl::Status Stream::BeginRecording() {
  return absl::UnimplementedError("this kind of device does not replay work");
}
inline absl::StatusOr<std::unique_ptr<RecordedWork>> Stream::EndRecording() {
  return absl::UnimplementedError("this kind of device does not replay work");
}
inline absl::Status Stream::Replay(const RecordedWork&) {
  return absl::UnimplementedError("this kind of device does not replay work");
}

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DEVICE_DEVICE_H_
