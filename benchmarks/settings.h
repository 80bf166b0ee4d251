// The flags of the training programs, checked, as one value: the request to
// the compiler (placement/tool/request.h) and how to run it.
#ifndef FACET_BENCHMARKS_SETTINGS_H_
#define FACET_BENCHMARKS_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "placement/tool/request.h"
#include "runtime/processes/process_group.h"

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
  bool sync_bn = false;
  int64_t max_shift = 0;
};

// A request to the compiler, and how to run what it makes.
struct Settings : placement::Request {
  std::string program;
  int64_t steps = 0;
  int64_t warmup = 0;
  int64_t seed = 0;
  bool lr_decay = false;
  std::string data;  // "synthetic", or a folder's absolute path.
  int64_t max_shift = 0;
  bool keep_going = false;
  bool check_finite = false;
  bool limits = false;
  bool cuda_graph = false;
  int64_t held_out = 0;
  int64_t checkpoint_every = 0;  // Steps; 0: at the end.
  // How CPUs compute convolutions: "auto" (measured), "rule", or the algorithm
  // to prefer.
  std::string conv = "rule";
  // Absolute paths; empty: not written.
  std::string plan_out;
  std::string trace_out;
  std::string checkpoint;
  std::string resume;
  std::string json;
};

// Parses the command line. Relative paths are taken from where the user stands
// (BUILD_WORKING_DIRECTORY under `bazel run`). InvalidArgument names the flag,
// its value and what was allowed. --help prints and exits.
// `processes`: those of the job, of which only process 0 writes files; null:
// this one alone.
absl::StatusOr<Settings> ParseSettings(
    int* argc, char*** argv, const Preset& preset,
    runtime::ProcessGroup* processes = nullptr);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_SETTINGS_H_
