// arcface_torch's published speeds beside the simulator's: which of them the
// hardware profile was fitted to, and how well it predicts the others.
#ifndef FACET_PLACEMENT_TOOL_PUBLISHED_SPEED_H_
#define FACET_PLACEMENT_TOOL_PUBLISHED_SPEED_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/published.h"
#include "placement/simulate/arcface_torch.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::placement {

struct SpeedRow {
  std::string name;      // "2,000,000 classes, batch 512, fp16"
  double published = 0;  // Samples per second of all devices together.
  double predicted = 0;
  double error_percent = 0;  // (predicted / published - 1) * 100
  bool fitted = false;
};

// Its rate of Partial FC was 0.1 (its configs/3millions_pfc.py).
ArcfaceTorchRun RunOfRow(const benchmarks::PublishedRow& row, int devices);

std::string NameOfRow(const benchmarks::PublishedRow& row);

// The rows that FitToPublished uses: one of each precision with the larger and
// one with the smaller batch or head, chosen before any error was seen.
bool IsFittedRow(const benchmarks::PublishedRow& row);

std::vector<SpeedRow> PredictPublished(
    const Hardware& hardware, int devices,
    absl::Span<const benchmarks::PublishedRow> rows);

// Uses those of `rows` that IsFittedRow, and no others.
Hardware FitToPublished(const Hardware& hardware, int devices,
                        absl::Span<const benchmarks::PublishedRow> rows);

// Of the rows that were not fitted.
double MeanAbsoluteErrorPercentUnseen(absl::Span<const SpeedRow> rows);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_PUBLISHED_SPEED_H_
