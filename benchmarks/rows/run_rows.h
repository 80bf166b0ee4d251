// RunRows: the rows one after the other, with live progress.
#ifndef FACET_BENCHMARKS_ROWS_RUN_ROWS_H_
#define FACET_BENCHMARKS_ROWS_RUN_ROWS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "benchmarks/rows/measurement.h"
#include "benchmarks/rows/row.h"
#include "benchmarks/rows/row_result.h"

namespace facet::benchmarks {

struct RunOptions {
  CommandOf ours;
  CommandOf peer;        // Null: none to compare with.
  CommandOf one_device;  // The opponent of rows that ask for it.
  int64_t rounds = 1;
  // A contestant that leaves the machine with less memory is ended.
  int64_t reserve_bytes = 0;
  const std::atomic<bool>* stop = nullptr;  // May be null. Not owned.
  bool live = false;  // The standard output is a terminal: redraw a line.
};

// One row: the contestants alternate, and so does who begins, so that a slow
// drift of the machine meets both. One that fails is not run again.
RowResult MeasureRow(const Row& row, const RunOptions& options);

// Calls `on_row` with each finished row; its error ends the run. Cancelled if
// options.stop became true: the row at work then is lost.
absl::Status RunRows(
    const std::vector<Row>& rows, const RunOptions& options,
    const std::function<absl::Status(const RowResult&)>& on_row);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_RUN_ROWS_H_
