// The flags of the training programs, checked, as one value.
#ifndef FACET_BENCHMARKS_SETTINGS_H_
#define FACET_BENCHMARKS_SETTINGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "models/face_head.h"
#include "ops/graph/data_type.h"
#include "ops/graph/sbp.h"

namespace facet::benchmarks {

// What a program presets; every one can be changed by its flag.
struct Preset {
  std::string program;  // "r50_2m"
  std::string usage;    // For --help.
  std::string network = "r50";
  int64_t classes = 0;     // 0: as many as the data has.
  int64_t batch_size = 0;  // 0: 16 per device.
  int64_t steps = 5;
  int64_t warmup = 1;
  double learning_rate = 0.1;
  int64_t lr_warmup = 0;
  bool lr_decay = false;
  std::string margin = "arcface";
  std::string data = "synthetic";
};

struct Settings {
  std::string program;
  int devices = 0;
  // Empty: float32.
  std::optional<ops::DataType> half;
  std::string network;
  int64_t classes = 0;
  int64_t batch_size = 0;
  int64_t steps = 0;
  int64_t warmup = 0;
  int64_t seed = 0;
  double learning_rate = 0;
  int64_t lr_warmup = 0;  // Steps.
  std::string lr_warmup_style;
  bool lr_decay = false;
  double momentum = 0;
  double weight_decay = 0;
  double clip_norm = 0;
  double dropout = 0;
  bool sync_bn = false;
  models::Margin margin;
  std::string margin_gradient;
  std::string data;  // "synthetic", or a folder's absolute path.
  bool fuse = true;
  bool keep_going = false;
  std::map<std::string, ops::Sbp> pins;
  int64_t held_out = 0;
  // Absolute paths; empty: not written.
  std::string plan_out;
  std::string trace_out;
  std::string json;
  std::string dump_passes;
};

// Parses the command line. Relative paths are taken from where the user stands
// (BUILD_WORKING_DIRECTORY under `bazel run`). InvalidArgument names the flag,
// its value and what was allowed. --help prints and exits.
absl::StatusOr<Settings> ParseSettings(int* argc, char*** argv,
                                       const Preset& preset);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_SETTINGS_H_
