// Request: which model to compile, for which devices, with which options: the
// flags that all programs which compile a training have in common, checked, as
// one value. How to run it (steps, data) is benchmarks/settings.h.
#ifndef FACET_PLACEMENT_TOOL_REQUEST_H_
#define FACET_PLACEMENT_TOOL_REQUEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/face_head.h"
#include "models/train_graph.h"
#include "ops/graph/data_type.h"
#include "ops/graph/nd_sbp.h"
#include "placement/cluster.h"
#include "placement/compile.h"

namespace facet::placement {

// Devices of this machine.
struct DeviceChoice {
  std::string kind;  // "cpu" or "cuda".
  int count = 0;
};

struct Request {
  std::string device_kind = "cpu";  // Or "cuda".
  int devices = 0;
  // How they are arranged, outermost first; sizes multiply to `devices`. Empty:
  // in a row. AxesOf says it for both.
  std::vector<AxisSize> mesh;
  // A profile (simulate/hardware.h) to compile for but not to run on; empty:
  // devices of this machine.
  std::string hardware;
  // Empty: float32.
  std::optional<ops::DataType> half;
  Rounding rounding = Rounding::kNone;
  std::string network;
  int64_t classes = 0;     // 0: not known yet (as many as the data has).
  int64_t batch_size = 0;  // Of all devices together.
  int64_t accumulate = 1;  // Steps per update.
  double learning_rate = 0;
  int64_t lr_warmup = 0;  // Steps.
  std::string lr_warmup_style;
  double momentum = 0;
  double weight_decay = 0;
  double clip_norm = 0;
  double dropout = 0;
  bool sync_bn = false;
  models::Margin margin;
  std::string margin_gradient;
  double partial_fc = 1;  // Part of the classes sampled per step; 1: all.
  std::string partial_fc_update;
  models::Storage storage;  // Of the class weights.
  bool fuse = true;
  Recomputing recomputing = Recomputing::kAuto;
  Splitting splitting = Splitting::kAuto;
  std::map<std::string, ops::NdSbp> pins;
  std::string dump_passes;  // Absolute; empty: none.
};

std::vector<AxisSize> AxesOf(const Request& request);
// Where the request does not name a profile.
DeviceChoice LocalDevicesOf(const Request& request);

// Of the flags as they are now. `auto_devices`: what --devices=auto means here.
// InvalidArgument names the flag, its value and what was allowed.
absl::StatusOr<Request> RequestFromFlags(const DeviceChoice& auto_devices);

// The names of the flags that describe a request.
std::vector<std::string> RequestFlags();

models::TrainConfig TrainConfigOf(const Request& request);

// total_steps is left at 0: the learning rate does not decay.
CompileOptions CompileOptionsOf(const Request& request, ops::TensorId loss);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_REQUEST_H_
