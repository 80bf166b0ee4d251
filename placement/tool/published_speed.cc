#include "placement/tool/published_speed.h"

#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "placement/simulate/fit.h"

namespace facet::placement {

using benchmarks::PublishedRow;

ArcfaceTorchRun RunOfRow(const PublishedRow& row, int devices) {
  ArcfaceTorchRun run;
  run.classes = row.classes;
  run.batch_size = row.batch_size;
  run.half = row.half;
  run.sample_rate = row.partial_fc ? 0.1 : 1;
  run.devices = devices;
  return run;
}

std::string NameOfRow(const PublishedRow& row) {
  const std::string classes = row.classes % 1'000'000 == 0
                                  ? absl::StrCat(row.classes / 1'000'000, "M")
                                  : absl::StrCat(row.classes / 1000, "k");
  return absl::StrCat(classes, ", batch ", row.batch_size,
                      row.half ? ", fp16" : ", fp32",
                      row.partial_fc ? ", Partial FC" : "");
}

bool IsFittedRow(const PublishedRow& row) {
  const auto key =
      std::make_tuple(row.classes, row.batch_size, row.half, row.partial_fc);
  return key == std::make_tuple(618'000, 512, false, false) ||
         key == std::make_tuple(2'000'000, 1024, false, false) ||
         key == std::make_tuple(618'000, 1024, true, false) ||
         key == std::make_tuple(2'000'000, 512, true, true);
}

std::vector<SpeedRow> PredictPublished(const Hardware& hardware, int devices,
                                       absl::Span<const PublishedRow> rows) {
  std::vector<SpeedRow> result;
  for (const PublishedRow& row : rows) {
    SpeedRow speed;
    speed.name = NameOfRow(row);
    speed.published = row.samples_per_second;
    speed.predicted =
        ArcfaceTorchSamplesPerSecond(hardware, RunOfRow(row, devices));
    speed.error_percent = 100 * (speed.predicted / speed.published - 1);
    speed.fitted = IsFittedRow(row);
    result.push_back(speed);
  }
  return result;
}

Hardware FitToPublished(const Hardware& hardware, int devices,
                        absl::Span<const PublishedRow> rows) {
  std::vector<Observation> observations;
  for (const PublishedRow& row : rows) {
    if (!IsFittedRow(row)) continue;
    observations.push_back({RunOfRow(row, devices), row.samples_per_second});
  }
  return FitHardware(hardware, observations);
}

double MeanAbsoluteErrorPercentUnseen(absl::Span<const SpeedRow> rows) {
  double sum = 0;
  int count = 0;
  for (const SpeedRow& row : rows) {
    if (row.fitted) continue;
    sum += std::abs(row.error_percent);
    ++count;
  }
  CHECK_GT(count, 0);
  return sum / count;
}

}  // namespace facet::placement
