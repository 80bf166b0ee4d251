// For tests: a device that knows the ops of placement/plan/small_plan.h, by
// plain arithmetic.
#ifndef FACET_RUNTIME_ACTOR_FAKE_DEVICE_H_
#define FACET_RUNTIME_ACTOR_FAKE_DEVICE_H_

#include <atomic>
#include <memory>
#include <string>

#include "runtime/device/device.h"

namespace facet::runtime {

// What fails from now on, by its name: "Record: broken".
struct FailingCalls {
  std::atomic<bool> record{false}, wait{false}, has_passed{false};
};

// Kernels: state = 0; source = what the data source reads for "images" 0 to
// 16; work = the sum of its inputs (spoils its workspace); update adds; report
// gives its input to the fetch sink.
// With `failing` it is an asynchronous device, whose work is done at once.
std::unique_ptr<Device> CreateFakeDevice(std::string name,
                                         const FailingCalls* failing = nullptr);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_FAKE_DEVICE_H_
