// A small face network, compiled and trained on any number of devices: what the
// whole-step tests run.
#ifndef FACET_TESTS_TRAINING_SMALL_TRAINING_H_
#define FACET_TESTS_TRAINING_SMALL_TRAINING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "models/layers.h"
#include "ops/cpu_kernels.h"
#include "ops/kernel.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/kernel_timer.h"
#include "runtime/device/cpu_device.h"
#include "runtime/session.h"

namespace facet::tests {

// The kind of devices.
struct Backend {
  std::string kind = "cpu";
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
  std::function<absl::StatusOr<std::vector<std::unique_ptr<runtime::Device>>>(
      int count)>
      create_devices = runtime::CreateCpuDevices;
};

struct SmallTraining {
  Backend backend;
  int devices = 1;
  // How they are arranged; empty: in a row.
  std::vector<placement::AxisSize> mesh;
  // Of all devices together, for the compiler; 0: not limited.
  int64_t host_memory_bytes = 0;
  int64_t classes = 37;
  int64_t batch_size = 8;
  int64_t bn_groups = 1;
  int64_t steps = 5;
  int64_t seed = 3;
  // Partial FC, if below 1; class_groups 0: as many as there are devices.
  double sample_rate = 1;
  int64_t class_groups = 0;
  models::Storage storage;  // Of the class weights.
  // An IResNet of one narrow block per stage instead of the network below; its
  // PReLUs start as the identity.
  bool iresnet = false;
  // One convolution of stride 16 and a linear layer: steps of a millisecond.
  bool tiny = false;
  // Names of the loss and pins: as in CompileOptions. `loss` is filled in.
  placement::CompileOptions options;
  // As in Cluster.
  placement::KernelTimer* kernel_timer = nullptr;
  // Every step sees the same images.
  bool same_batch = false;
  // All variables are read, and written back, after so many steps, too.
  int64_t read_after = 0;
  // Variables come from this checkpoint, and steps are counted from its own;
  // after the last step they go to that one.
  std::string resume;
  std::string checkpoint;
  // In step `spoiled_step`, images from `spoiled_from` are multiplied by this.
  int64_t spoiled_step = -1;
  int64_t spoiled_from = 0;
  float spoil = 1;
  // As in SessionOptions.
  absl::Duration stall_timeout = absl::Minutes(10);
  bool replay = false;
  bool check_finite = false;
  // "Processes" that are threads, each with as many of the devices; 0: one that
  // knows of no others. The result is that of process 0.
  int processes = 0;
};

struct TrainingResult {
  placement::Plan plan;
  std::vector<float> losses;
  std::string first_non_finite;  // Of all steps.
  std::map<std::string, runtime::HostTensor> variables;
};

// 3 x 112 x 112 images -> strided convolutions with BN and PReLU, a residual
// block, flatten, linear, BN1d -> 16 -> ArcFace head. Rates of the devices are
// made up, so that the plan does not depend on the machine.
absl::StatusOr<placement::Plan> CompileSmall(const SmallTraining& training);
absl::StatusOr<TrainingResult> Train(const SmallTraining& training);
// As Train, of a plan that came from CompileSmall. The result has no plan.
absl::StatusOr<TrainingResult> RunPlan(const SmallTraining& training,
                                       const placement::Plan& plan);

// The oracle: the same in float32, run by ops/testing/interpreter.h, with
// nothing of the compiler but the gradients and the optimizer. The result has
// no plan.
absl::StatusOr<TrainingResult> Interpret(const SmallTraining& training);

// The values of a floating tensor.
std::vector<double> Doubles(const runtime::HostTensor& tensor);

// The largest |a - b| over the largest |a|, or over `least` if that is less: of
// floating tensors. Gradients that are 0 but for rounding (of a bias before a
// batch norm) have no relative accuracy.
double RelativeDifference(const runtime::HostTensor& a,
                          const runtime::HostTensor& b, double least = 1e-3);

}  // namespace facet::tests

#endif  // FACET_TESTS_TRAINING_SMALL_TRAINING_H_
