// The results as a picture: samples/s and peak memory of every row, ours above
// its opponent. SVG by a few templates of our own, so that the program needs no
// plotting package; PNG by librsvg's rsvg-convert, if it is installed.
#ifndef FACET_BENCHMARKS_ROWS_RESULTS_CHART_H_
#define FACET_BENCHMARKS_ROWS_RESULTS_CHART_H_

#include <string>

#include "absl/status/status.h"
#include "benchmarks/rows/row_result.h"

namespace facet::benchmarks {

// A whole SVG document; a results without rows gives one with axes only.
std::string ResultsSvg(const RunResults& results);

// Before any work: .svg, or .png with rsvg-convert at hand. InvalidArgument
// says what to do.
absl::Status CheckChartPath(const std::string& path);

// Writes the file whole or not at all, in the format of its name.
absl::Status WriteChart(const RunResults& results, const std::string& path);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_RESULTS_CHART_H_
