#include "benchmarks/rows/run_rows.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

double GiB(int64_t bytes) { return bytes / double{1 << 30}; }

bool IsStopped(const RunOptions& options) {
  return options.stop != nullptr && options.stop->load();
}

const CommandOf& OpponentOf(const Row& row, const RunOptions& options) {
  return row.opponent == Opponent::kPeer ? options.peer : options.one_device;
}

void ShowRow(const Row& row, size_t number, size_t count) {
  std::string batch = absl::StrCat("batch ", row.batch_size);
  if (row.published_batch_size > 0 &&
      row.published_batch_size != row.batch_size) {
    absl::StrAppend(&batch, " (published ", row.published_batch_size, ")");
  }
  std::printf("[%d/%d] %s: %d classes, %s, %s%s%s\n", static_cast<int>(number),
              static_cast<int>(count), row.name.c_str(),
              static_cast<int>(row.classes), batch.c_str(),
              row.half ? "half precision" : "float32",
              row.half_state ? ", 16-bit state" : "",
              row.partial_fc()
                  ? absl::StrFormat(", Partial FC %g", row.sample_rate).c_str()
                  : "");
  std::fflush(stdout);
}

void RunOne(const Row& row, const RunOptions& options, const std::string& name,
            const CommandOf& command, int64_t round, Measurement* measurement) {
  if (!measurement->failure.empty() || IsStopped(options)) return;
  const std::string label =
      options.rounds == 1 ? absl::StrCat("  ", name)
                          : absl::StrCat("  ", name, ", round ", round + 1,
                                         " of ", options.rounds);
  ChildOptions child;
  child.reserve_bytes = options.reserve_bytes;
  child.stop = options.stop;
  if (options.live) {
    child.on_tick = [&](double seconds, int64_t bytes) {
      std::printf("\r%-34s %4.0f s, %.2f GiB   ", label.c_str(), seconds,
                  GiB(bytes));
      std::fflush(stdout);
    };
  }
  const size_t before = measurement->samples_per_second.size();
  MeasureRound(row, command, child, measurement);
  const bool measured = measurement->samples_per_second.size() > before;
  std::printf("%s%-34s %s\n", options.live ? "\r\033[K" : "", label.c_str(),
              measured ? absl::StrFormat("%.2f samples/s, %.2f GiB",
                                         measurement->samples_per_second.back(),
                                         GiB(measurement->peak_bytes))
                             .c_str()
                       : measurement->failure.c_str());
  std::fflush(stdout);
}

}  // namespace

RowResult MeasureRow(const Row& row, const RunOptions& options) {
  RowResult result;
  result.row = row;
  const CommandOf& opponent = OpponentOf(row, options);
  for (int64_t round = 0; round < options.rounds; ++round) {
    auto run_ours = [&] {
      RunOne(row, options, "ours", options.ours, round, &result.ours);
    };
    if (round % 2 == 0) run_ours();
    if (opponent != nullptr) {
      RunOne(row, options,
             row.opponent == Opponent::kPeer ? "arcface_torch" : "one device",
             opponent, round, &result.other);
    }
    if (round % 2 == 1) run_ours();
  }
  return result;
}

absl::Status RunRows(
    const std::vector<Row>& rows, const RunOptions& options,
    const std::function<absl::Status(const RowResult&)>& on_row) {
  for (size_t i = 0; i < rows.size(); ++i) {
    ShowRow(rows[i], i + 1, rows.size());
    const RowResult result = MeasureRow(rows[i], options);
    if (IsStopped(options)) {
      return absl::CancelledError(absl::StrCat("interrupted in row ",
                                               rows[i].name, ", after ", i,
                                               " of ", rows.size(), " rows"));
    }
    RETURN_IF_ERROR(on_row(result));
  }
  return absl::OkStatus();
}

}  // namespace facet::benchmarks
