#include "benchmarks/rows/results_table.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "placement/tool/text_table.h"

namespace facet::benchmarks {
namespace {

std::string GiBText(int64_t bytes) {
  return bytes > 0 ? absl::StrFormat("%.2f", bytes / double{1 << 30}) : "-";
}

std::string VerdictText(const RowResult& result) {
  const std::string bar = BarText(result.row.bar);
  switch (Judge(result)) {
    case Verdict::kNoBar:
      return "";
    case Verdict::kNotCompared:
      return absl::StrCat(bar, ": not compared");
    case Verdict::kMet:
      return absl::StrCat(bar, ": met");
    case Verdict::kMissed:
      return absl::StrCat(bar, ": missed");
  }
  return "";
}

std::string PublishedText(const Row& row) {
  return row.published_samples_per_second > 0
             ? absl::StrFormat("%.0f", row.published_samples_per_second)
             : "-";
}

std::string OpponentName(const Row& row) {
  return row.opponent == Opponent::kPeer ? "arcface_torch" : "one device";
}

}  // namespace

std::string SpeedText(const Measurement& measurement) {
  if (measurement.ok()) return absl::StrFormat("%.2f", measurement.Speed());
  if (measurement.out_of_memory) return "no memory";
  return measurement.failure.empty() ? "-" : "failed";
}

std::string ResultsTable(const RunResults& results, int width) {
  placement::TextTable table({{"row"},
                              {"batch", true},
                              {"samples/s", true},
                              {"other", true},
                              {"ratio", true},
                              {"GiB", true},
                              {"other GiB", true},
                              {"8 x V100", true},
                              {"asked for", false, /*elastic=*/true}});
  std::string notes;
  for (const RowResult& r : results.rows) {
    table.Add({r.row.name, absl::StrCat(r.row.batch_size), SpeedText(r.ours),
               SpeedText(r.other),
               r.Ratio() > 0 ? absl::StrFormat("%.2f", r.Ratio()) : "-",
               GiBText(r.ours.peak_bytes), GiBText(r.other.peak_bytes),
               PublishedText(r.row), VerdictText(r)});
    if (!r.ours.failure.empty()) {
      absl::StrAppend(&notes, r.row.name, ": ", r.ours.failure, "\n");
    }
    if (!r.other.failure.empty()) {
      absl::StrAppend(&notes, r.row.name, ", ", OpponentName(r.row), ": ",
                      r.other.failure, "\n");
    }
  }
  return absl::StrCat(table.ToString(width), notes.empty() ? "" : "\n", notes);
}

std::string RowsTable(const std::vector<Row>& rows, int width) {
  placement::TextTable table({{"row"},
                              {"classes", true},
                              {"batch", true},
                              {"published", true},
                              {"precision"},
                              {"Partial FC", true},
                              {"8 x V100", true},
                              {"asked for"}});
  for (const Row& row : rows) {
    std::string bar = BarText(row.bar);
    if (row.opponent == Opponent::kOneDevice) {
      absl::StrAppend(&bar, " ", OpponentName(row));
    }
    table.Add(
        {row.name, absl::StrCat(row.classes), absl::StrCat(row.batch_size),
         row.published_batch_size > 0 ? absl::StrCat(row.published_batch_size)
                                      : "-",
         absl::StrCat(row.half ? "half" : "float32",
                      row.half_state ? ", 16-bit state" : ""),
         row.partial_fc() ? absl::StrFormat("%g", row.sample_rate) : "-",
         PublishedText(row), bar});
  }
  return table.ToString(width);
}

}  // namespace facet::benchmarks
