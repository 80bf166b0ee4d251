#include "benchmarks/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "benchmarks/hardware.h"
#include "benchmarks/step_times.h"
#include "placement/plan/write_file.h"

namespace facet::benchmarks {
namespace {

double GiB(int64_t bytes) { return bytes / double{1 << 30}; }

std::string JsonString(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ') {
      absl::StrAppendFormat(&json, "\\u%04x", c);
      continue;
    }
    if (c == '"' || c == '\\') json += '\\';
    json += c;
  }
  return json + "\"";
}

// JSON has no NaN or infinity: null.
std::string JsonNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null";
}

std::string JsonList(const std::vector<double>& values) {
  return absl::StrCat("[",
                      absl::StrJoin(values, ", ",
                                    [](std::string* out, double v) {
                                      absl::StrAppend(out, JsonNumber(v));
                                    }),
                      "]");
}

std::string JsonMap(const std::vector<std::pair<std::string, double>>& map) {
  return absl::StrCat("{",
                      absl::StrJoin(map, ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(
                                          out, JsonString(entry.first), ": ",
                                          JsonNumber(entry.second));
                                    }),
                      "}");
}

// How far a prediction is off, of what was measured.
double ErrorPercent(double predicted, double measured) {
  return 100 * (predicted / measured - 1);
}

// NaN where nothing was predicted.
double MemoryErrorPercent(const Results& r) {
  if (!r.predicted_peak_bytes.has_value()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return ErrorPercent(static_cast<double>(*r.predicted_peak_bytes),
                      static_cast<double>(r.process_peak_bytes));
}

double Find(const std::vector<std::pair<std::string, double>>& map,
            const std::string& name) {
  for (const auto& [key, value] : map) {
    if (key == name) return value;
  }
  return 0;
}

}  // namespace

double SamplesPerSecond(const Results& results) {
  return results.batch_size / Median(results.step_seconds);
}

namespace {

// Of the computation.
std::string ArithmeticText(const Settings& settings) {
  if (!settings.half.has_value()) return "float32";
  if (settings.device_kind == "cuda") {
    const bool is_float16 = *settings.half == ops::DataType::kFloat16;
    return absl::StrCat(ops::DataTypeName(*settings.half),
                        " on tensor cores, float32 master weights",
                        is_float16 ? ", dynamic loss scaling" : "");
  }
  const bool native = CpuMultipliesBFloat16();
  if (*settings.half == ops::DataType::kBFloat16) {
    return absl::StrCat(
        "bfloat16, float32 master weights (CPUs have no float16 arithmetic",
        native ? ")"
               : "; this one multiplies bfloat16 in float32: less memory, not "
                 "more speed)");
  }
  return "float16, float32 master weights, dynamic loss scaling (kept in "
         "float16, multiplied in float32)";
}

}  // namespace

std::string PrecisionText(const Settings& settings, bool rounds) {
  std::string text = ArithmeticText(settings);
  if (rounds && settings.rounding != placement::Rounding::kNone) {
    absl::StrAppend(&text,
                    settings.rounding == placement::Rounding::kConvolutions
                        ? ", convolutions"
                        : ", products of float32",
                    " in TF32");
  }
  for (const auto& [what, dtype] :
       {std::make_pair("class weights", settings.storage.weight),
        std::make_pair("their momentum", settings.storage.momentum)}) {
    if (dtype == ops::DataType::kFloat32) continue;
    absl::StrAppend(&text, "; ", what, " ", ops::DataTypeName(dtype),
                    ", rounded stochastically");
  }
  return text;
}

double RuntimePercent(const Results& results) {
  return 100 * results.runtime_seconds / Median(results.step_seconds);
}

void PrintResults(const Results& r) {
  const auto [fastest, slowest] =
      std::minmax_element(r.step_seconds.begin(), r.step_seconds.end());
  const double median = Median(r.step_seconds);
  std::printf("\n%-40s%.2f samples/s  (steps %.2f to %.2f)\n", "speed (median)",
              SamplesPerSecond(r), r.batch_size / *slowest,
              r.batch_size / *fastest);
  std::printf("%-40s%.3f s  (predicted %.3f s, %+.1f %%)\n", "step", median,
              r.predicted_step_seconds,
              ErrorPercent(r.predicted_step_seconds, median));
  for (const auto& [phase, seconds] : r.phases) {
    std::printf("  %-38s%.3f s  %4.1f %%  (predicted %.3f s)\n", phase.c_str(),
                seconds, 100 * seconds / median,
                Find(r.predicted_phases, phase));
  }
  constexpr double kGoalPercent = 2;
  std::printf("%-40s%.4f s  %.2f %% of a step (goal: at most %g %%)\n",
              "runtime's own time", r.runtime_seconds, RuntimePercent(r),
              kGoalPercent);
  for (const DeviceBytes& device : r.device_bytes) {
    std::printf("%-40spredicted %.2f GiB, measured %.2f GiB\n",
                absl::StrCat("memory of ", device.name).c_str(),
                GiB(device.predicted), GiB(device.measured));
  }
  constexpr char kProcess[] = "peak memory of the process";
  if (r.predicted_peak_bytes.has_value()) {
    std::printf("%-40spredicted %.2f GiB, measured %.2f GiB (%+.1f %%)\n",
                kProcess, GiB(*r.predicted_peak_bytes),
                GiB(r.process_peak_bytes), MemoryErrorPercent(r));
  } else {
    std::printf("%-40s%.2f GiB\n", kProcess, GiB(r.process_peak_bytes));
  }
  for (const auto& [name, value] : r.measures) {
    std::printf("%-40s%.4f\n", absl::StrReplaceAll(name, {{"_", " "}}).c_str(),
                value);
  }
  if (!r.published.empty()) {
    std::printf("%-40s%s samples/s\n", "published, arcface_torch, 8 x V100",
                r.published.c_str());
  }
}

absl::Status WriteJson(const Results& r, const std::string& path) {
  std::vector<std::string> fields = {
      absl::StrCat("\"samples_per_second\": ", JsonNumber(SamplesPerSecond(r))),
      absl::StrCat("\"step_seconds\": ", JsonList(r.step_seconds)),
      absl::StrCat("\"losses\": ", JsonList(r.losses)),
      absl::StrCat("\"classes\": ", r.classes),
      absl::StrCat("\"batch_size\": ", r.batch_size),
      absl::StrCat("\"devices\": ", r.devices),
      absl::StrCat("\"partial_fc\": ", JsonNumber(r.partial_fc)),
      absl::StrCat("\"precision\": ", JsonString(r.precision)),
      absl::StrCat("\"weight_type\": ", JsonString(r.weight_type)),
      absl::StrCat("\"momentum_type\": ", JsonString(r.momentum_type)),
      absl::StrCat("\"process_peak_bytes\": ", r.process_peak_bytes),
      r.predicted_peak_bytes.has_value()
          ? absl::StrCat("\"predicted_peak_bytes\": ", *r.predicted_peak_bytes)
          : "\"predicted_peak_bytes\": null",
      absl::StrCat("\"device_peak_bytes\": ", r.device_peak_bytes),
      absl::StrCat("\"phases\": ", JsonMap(r.phases)),
      absl::StrCat("\"runtime_percent\": ", JsonNumber(RuntimePercent(r))),
      absl::StrCat("\"hardware\": ", JsonString(r.hardware)),
      absl::StrCat("\"predicted_step_seconds\": ",
                   JsonNumber(r.predicted_step_seconds)),
      absl::StrCat("\"predicted_phases\": ", JsonMap(r.predicted_phases)),
      absl::StrCat("\"step_error_percent\": ",
                   JsonNumber(ErrorPercent(r.predicted_step_seconds,
                                           Median(r.step_seconds)))),
      absl::StrCat("\"memory_error_percent\": ",
                   JsonNumber(MemoryErrorPercent(r))),
      absl::StrCat("\"compile_seconds\": ", JsonNumber(r.compile_seconds)),
  };
  for (const auto& [name, value] : r.measures) {
    fields.push_back(absl::StrCat(JsonString(name), ": ", JsonNumber(value)));
  }
  return placement::WriteFileAtomically(
      path, absl::StrCat("{\n  ", absl::StrJoin(fields, ",\n  "), "\n}\n"));
}

}  // namespace facet::benchmarks
