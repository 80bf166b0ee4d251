// RowResult: what came out for one row, and the file of results: JSON that
// programs read and that a later run can be appended to.
#ifndef FACET_BENCHMARKS_ROWS_ROW_RESULT_H_
#define FACET_BENCHMARKS_ROWS_ROW_RESULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "benchmarks/rows/measurement.h"
#include "benchmarks/rows/row.h"

namespace facet::benchmarks {

struct RowResult {
  Row row;
  Measurement ours;
  // Nothing in it, not even a failure: it was not run.
  Measurement other;

  bool compared() const { return other.ok() || !other.failure.empty(); }
  // Ours / the other's samples/s; 0 unless both were measured.
  double Ratio() const;
};

enum class Verdict { kNoBar, kNotCompared, kMet, kMissed };

// A ratio's bar needs the opponent's figure: kNotCompared without.
Verdict Judge(const RowResult& result);
// ">= 2.2 x", ">= 5/s, <= 11 GiB", "trains, <= 24 GiB"; empty: no bar.
std::string BarText(const Bar& bar);

struct RunResults {
  std::string hardware;
  int cores = 0;
  std::string peer;  // Where its code lies; empty: it was not run.
  int64_t batch_scale = 1;
  int64_t steps = 0;
  int64_t warmup = 0;
  int64_t rounds = 0;
  std::vector<RowResult> rows;
};

// The fields of a row: name, classes, batch_size, precision, partial_fc,
// samples_per_second, peak_bytes, peer_samples_per_second, ratio,
// published_v100x8, and more of the same kind; null: there is none.
std::string ResultsJson(const RunResults& results);
// What ResultsJson wrote. InvalidArgument says what is missing.
absl::StatusOr<RunResults> ParseResults(absl::string_view json);

// Replaces the row of that name, or appends it.
void SetRow(const RowResult& row, RunResults* results);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_ROW_RESULT_H_
