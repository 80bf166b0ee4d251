// Device: memory and threads to run a plan's tasks on. Implementations:
// cpu_device.h; a CUDA device has the same shape.
#ifndef FACET_RUNTIME_DEVICE_DEVICE_H_
#define FACET_RUNTIME_DEVICE_DEVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/kernel.h"
#include "ops/op_def.h"

namespace facet::runtime {

// One contiguous allocation. Freed with the object.
class Arena {
 public:
  virtual ~Arena() = default;
  virtual void* data() const = 0;  // 64-byte aligned at least.
  virtual int64_t size_bytes() const = 0;
};

// An in-order queue of work of a device. Run and the callbacks of one stream
// are called from one thread, the stream's own (the one that
// Device::EnterStream prepared).
class Stream {
 public:
  virtual ~Stream() = default;

  // Starts `work` after everything before it on this stream; `done` is called
  // with its status when it has finished. On a CPU both happen before Run
  // returns, on the calling thread; an asynchronous device returns earlier and
  // calls `done` from a thread of its own.
  virtual void Run(const std::function<absl::Status()>& work,
                   const std::function<void(absl::Status)>& done) = 0;
};

// Thread-safe, except where said.
class Device {
 public:
  virtual ~Device() = default;

  virtual const std::string& name() const = 0;  // "cpu:0"
  virtual const ops::KernelLibrary& kernels() const = 0;

  // True if host code may read and write the device's memory directly.
  virtual bool host_accessible() const = 0;

  // ResourceExhausted with the size asked for and what was there.
  virtual absl::StatusOr<std::unique_ptr<Arena>> Allocate(
      int64_t size_bytes) = 0;

  // Called once by each stream's thread, first thing: pins it to the device's
  // cores and gives it its OpenMP team (or makes a GPU current).
  virtual absl::Status EnterStream(ops::StreamKind kind) = 0;
  virtual absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind kind) = 0;

  // Copies between host memory and this device's, and waits.
  virtual absl::Status CopyToHost(const void* device, void* host,
                                  int64_t size_bytes) = 0;
  virtual absl::Status CopyFromHost(const void* host, void* device,
                                    int64_t size_bytes) = 0;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_DEVICE_DEVICE_H_
