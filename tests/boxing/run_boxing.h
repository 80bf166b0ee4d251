// Runs boxing programs with the real kernels and the real communicators, on CPU
// and on CUDA devices (emulated where there are none).
#ifndef FACET_TESTS_BOXING_RUN_BOXING_H_
#define FACET_TESTS_BOXING_RUN_BOXING_H_

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/kernel.h"
#include "ops/testing/interpreter.h"
#include "placement/boxing/boxing.h"
#include "runtime/collectives/communicator.h"
#include "runtime/device/device.h"

namespace facet::placement {

// What a kind of device has of its own.
class BoxingMachine {
 public:
  using Collective = std::function<absl::Status(runtime::Stream& stream,
                                                const void* in, void* out)>;

  virtual ~BoxingMachine() = default;
  // That take operands on the host.
  virtual const ops::KernelLibrary& kernels() const = 0;
  // By rank.
  virtual absl::StatusOr<std::vector<std::unique_ptr<runtime::Communicator>>>
  CreateCommunicators(const std::vector<int>& devices) = 0;
  // `in` and `out`: null if the device has none. Called by a thread per device.
  virtual absl::Status Run(int device, const ops::HostValue* in,
                           ops::HostValue* out,
                           const Collective& collective) = 0;
};

// With any number of devices.
std::unique_ptr<BoxingMachine> CpuMachine();
// FailedPrecondition if there are fewer: why, for a test to be skipped.
absl::StatusOr<std::unique_ptr<BoxingMachine>> CudaMachine(int num_devices);

// All programs at once, their collectives with a thread per device; no device
// is in two of them. From the shares of the sources' devices to those of the
// destinations'.
absl::StatusOr<std::map<int, ops::HostValue>> RunBoxing(
    const std::vector<BoxingProgram>& programs, const ops::TensorType& type,
    const std::map<int, ops::HostValue>& shares, BoxingMachine& machine);

// Small integers, which are exact in every type, whatever the order of
// additions.
ops::HostValue IntegersOf(const ops::TensorType& type);

// Fails the test unless they agree; `was_partial_sum`: but for the rounding of
// numbers that were added up.
void ExpectSameValue(const ops::HostValue& got, const ops::HostValue& want,
                     bool was_partial_sum);

}  // namespace facet::placement

#endif  // FACET_TESTS_BOXING_RUN_BOXING_H_
