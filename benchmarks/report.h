// What a training program prints and writes when it is done.
#ifndef FACET_BENCHMARKS_REPORT_H_
#define FACET_BENCHMARKS_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmarks/settings.h"

namespace facet::benchmarks {

struct DeviceBytes {
  std::string name;
  int64_t predicted = 0;
  int64_t measured = 0;  // Resident.
};

struct Results {
  std::string hardware;
  std::string precision;  // "bfloat16"
  // How class weights and their momentum are stored.
  std::string weight_type = "float32";
  std::string momentum_type = "float32";
  int64_t classes = 0;
  int64_t batch_size = 0;
  int devices = 0;
  double partial_fc = 1;  // Part of the classes sampled per step; 1: all.
  std::vector<double> step_seconds;  // Of the measured steps.
  std::vector<double> losses;        // Of all steps, warm-up included.
  std::vector<std::pair<std::string, double>> phases;  // Seconds per step.
  // Of a step: see RuntimeSeconds of step_times.h.
  double runtime_seconds = 0;
  std::vector<DeviceBytes> device_bytes;
  // Of the process. None if the devices have memory of their own: what the host
  // holds is then mostly CUDA's, which nobody plans.
  std::optional<int64_t> predicted_peak_bytes;
  int64_t process_peak_bytes = 0;  // Measured.
  // Of devices with memory of their own, the largest; 0: there is none.
  int64_t device_peak_bytes = 0;
  double predicted_step_seconds = 0;
  std::vector<std::pair<std::string, double>> predicted_phases;  // Seconds.
  double compile_seconds = 0;
  // "8 x V100 ..." and its figures; empty if the row was not published.
  std::string published;
  // Further fields at the top level: rank1_accuracy and the like.
  std::vector<std::pair<std::string, double>> measures;
};

double SamplesPerSecond(const Results& results);  // By the median step.
double RuntimePercent(const Results& results);    // Of the median step.

// "bfloat16 (this CPU has no float16 arithmetic ...)", for the first line.
// `rounds`: the devices multiply factors of float32 that are rounded to TF32.
std::string PrecisionText(const Settings& settings, bool rounds);

void PrintResults(const Results& results);
absl::Status WriteJson(const Results& results, const std::string& path);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_REPORT_H_
