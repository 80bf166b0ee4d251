// The results for people: a table in the terminal.
#ifndef FACET_BENCHMARKS_ROWS_RESULTS_TABLE_H_
#define FACET_BENCHMARKS_ROWS_RESULTS_TABLE_H_

#include <string>
#include <vector>

#include "benchmarks/rows/row_result.h"

namespace facet::benchmarks {

// "12.34", or why there is none: "no memory", "failed", "-" (not run). For
// tables and charts.
std::string SpeedText(const Measurement& measurement);

// A line per row and, below, why what failed did.
std::string ResultsTable(const RunResults& results, int width);

// What would be run: --list.
std::string RowsTable(const std::vector<Row>& rows, int width);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_RESULTS_TABLE_H_
