// KernelTimer: whom the compiler asks how long kernels take, where something
// can be computed in several ways. An interface only: the compiler runs
// nothing. The one that measures is benchmarks/tuning/local_kernel_timer.h.
#ifndef FACET_PLACEMENT_KERNEL_TIMER_H_
#define FACET_PLACEMENT_KERNEL_TIMER_H_

#include <string>
#include <vector>

#include "ops/graph/attributes.h"
#include "ops/kernel.h"

namespace facet::placement {

// One kernel on one device, and the settings of its attributes to choose from.
struct KernelChoice {
  std::string device_kind;  // "cpu"
  int cores = 1;            // Of the device: what its team of threads has.
  std::string op;
  // Of a device's share as if it were the whole: rank 0 of 1, global shapes are
  // the local ones. With what the attributes leave open ("auto").
  ops::KernelSpec spec;
  std::vector<ops::Attributes> alternatives;  // One or more.
};

class KernelTimer {
 public:
  virtual ~KernelTimer() = default;

  // By choice and alternative: what one run takes while the other devices work,
  // too. Infinity for what could not be measured. All at once, so that a timer
  // can say how much there is to do. The choices differ from each other.
  virtual std::vector<std::vector<double>> Seconds(
      const std::vector<KernelChoice>& choices) = 0;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_KERNEL_TIMER_H_
