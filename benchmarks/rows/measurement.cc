#include "benchmarks/rows/measurement.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "benchmarks/step_times.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

using Json = nlohmann::json;

// A folder of its own, gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    path_ = (std::filesystem::temp_directory_path(error) / "facet_row_XXXXXX")
                .string();
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }  // Empty: none was made.

 private:
  std::string path_;
};

absl::Status ExpectCount(const Json& figures, const char* key,
                         int64_t expected) {
  const auto value = figures.find(key);
  if (value != figures.end() && value->is_number_integer() &&
      value->get<int64_t>() == expected) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "its results are of another training: ", key, " is ",
      value == figures.end() ? "missing" : value->dump(), ", not ", expected));
}

}  // namespace

double Measurement::Speed() const {
  return ok() ? Median(samples_per_second) : 0;
}

absl::StatusOr<TrainingFigures> ParseTrainingFigures(absl::string_view json,
                                                     const Row& row) {
  const Json figures = Json::parse(json.begin(), json.end(), nullptr,
                                   /*allow_exceptions=*/false);
  if (!figures.is_object()) {
    return absl::InvalidArgumentError(
        "its results are not JSON, or not an object");
  }
  const auto speed = figures.find("samples_per_second");
  if (speed == figures.end() || !speed->is_number() ||
      !(speed->get<double>() > 0)) {
    return absl::InvalidArgumentError(
        "its results have no samples_per_second above 0");
  }
  RETURN_IF_ERROR(ExpectCount(figures, "classes", row.classes));
  RETURN_IF_ERROR(ExpectCount(figures, "batch_size", row.batch_size));
  TrainingFigures result;
  result.samples_per_second = speed->get<double>();
  if (const auto precision = figures.find("precision");
      precision != figures.end() && precision->is_string()) {
    result.precision = precision->get<std::string>();
  }
  if (const auto bytes = figures.find("device_peak_bytes");
      bytes != figures.end() && bytes->is_number_integer()) {
    result.device_peak_bytes = bytes->get<int64_t>();
  }
  return result;
}

void MeasureRound(const Row& row, const CommandOf& command,
                  const ChildOptions& options, Measurement* measurement) {
  const TemporaryFolder folder;
  if (folder.path().empty()) {
    measurement->failure = "no temporary folder could be made; set TMPDIR";
    return;
  }
  const std::string path = folder.path() + "/figures.json";
  const absl::StatusOr<ChildEnd> end = RunChild(command(row, path), options);
  if (!end.ok()) {
    measurement->failure = std::string(end.status().message());
    return;
  }
  measurement->out_of_memory = end->out_of_memory;
  measurement->failure = end->Failure();
  const auto raise_peak = [measurement](int64_t bytes) {
    measurement->peak_bytes = std::max(measurement->peak_bytes, bytes);
  };
  if (!end->ok()) return raise_peak(end->peak_bytes);

  std::ifstream file(path);
  const std::string json(std::istreambuf_iterator<char>(file), {});
  const absl::StatusOr<TrainingFigures> figures =
      ParseTrainingFigures(json, row);
  if (!figures.ok()) {
    measurement->failure = std::string(figures.status().message());
    return;
  }
  // Beside a GPU's memory, what its process holds on the host is small.
  raise_peak(figures->device_peak_bytes > 0 ? figures->device_peak_bytes
                                            : end->peak_bytes);
  measurement->samples_per_second.push_back(figures->samples_per_second);
  measurement->precision = figures->precision;
}

}  // namespace facet::benchmarks
