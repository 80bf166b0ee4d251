// Measurement: what one contestant of a row achieved, over all rounds. Each
// round is a process of its own, which trains and writes its figures as JSON:
// so that its peak memory is its own, and its death ends nothing else.
#ifndef FACET_BENCHMARKS_ROWS_MEASUREMENT_H_
#define FACET_BENCHMARKS_ROWS_MEASUREMENT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "benchmarks/rows/child_process.h"
#include "benchmarks/rows/row.h"

namespace facet::benchmarks {

struct Measurement {
  std::vector<double> samples_per_second;  // By round.
  // Of the process, or of a GPU's memory where one was used; the largest of
  // the rounds.
  int64_t peak_bytes = 0;
  std::string precision;  // As the program named it.
  std::string failure;    // Why it ended early; empty: not.
  bool out_of_memory = false;

  bool ok() const { return failure.empty() && !samples_per_second.empty(); }
  // The median over the rounds. 0 if it failed or was not run: a row is
  // measured whole or not at all.
  double Speed() const;
};

// The command line that trains a row and writes its figures to `json`.
using CommandOf = std::function<std::vector<std::string>(
    const Row& row, const std::string& json)>;

// The figures that a training program wrote: ours (report.h) and the peer's
// (tools/peer/train_speed.py) have these in common.
struct TrainingFigures {
  double samples_per_second = 0;
  std::string precision;
  int64_t device_peak_bytes = 0;  // Of a device's own memory; 0: it has none.
};

// InvalidArgument says what is wrong with them: not JSON, no speed, or those
// of another training than the row's.
absl::StatusOr<TrainingFigures> ParseTrainingFigures(absl::string_view json,
                                                     const Row& row);

// Runs one more round of `command` and adds its figures, or its failure.
void MeasureRound(const Row& row, const CommandOf& command,
                  const ChildOptions& options, Measurement* measurement);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_MEASUREMENT_H_
