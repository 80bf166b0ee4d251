// LocalKernelTimer: tells the compiler how long kernels take on the devices of
// this machine: what was measured before, from a file; else by measuring.
#ifndef FACET_BENCHMARKS_TUNING_LOCAL_KERNEL_TIMER_H_
#define FACET_BENCHMARKS_TUNING_LOCAL_KERNEL_TIMER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/tuning/kernel_time_file.h"
#include "placement/kernel_timer.h"
#include "runtime/device/device.h"

namespace facet::benchmarks {

class LocalKernelTimer : public placement::KernelTimer {
 public:
  // A device to measure on, with the cores that the compiler knows it to have.
  struct LocalDevice {
    runtime::Device* device = nullptr;  // Idle. Not owned.
    std::string kind;
    int cores = 1;
  };

  // `path`: where times are kept (KernelTimePath); empty: nowhere.
  LocalKernelTimer(std::vector<LocalDevice> devices, std::string machine,
                   std::string path);

  // Each kernel on a device that has as many cores as the choice says, with its
  // team of threads, while the other devices measure others: as in a training
  // they share the machine's memory and clock. Infinity for what does not run,
  // or where there is no such device. Says on a line of standard output how
  // many it measures; a file that cannot be written is a warning.
  std::vector<std::vector<double>> Seconds(
      const std::vector<placement::KernelChoice>& choices) override;

  // What measuring has taken until now.
  double spent_seconds() const { return spent_seconds_; }

 private:
  std::vector<std::vector<absl::StatusOr<double>>> Measure(
      const std::vector<const placement::KernelChoice*>& choices) const;

  const std::vector<LocalDevice> devices_;
  const std::string machine_;
  const std::string path_;
  SecondsByKernel known_;
  double spent_seconds_ = 0;
};

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TUNING_LOCAL_KERNEL_TIMER_H_
