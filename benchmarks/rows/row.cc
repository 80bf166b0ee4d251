#include "benchmarks/rows/row.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "benchmarks/published.h"

namespace facet::benchmarks {
namespace {

// What the published Partial FC columns were measured with.
constexpr double kPublishedSampleRate = 0.1;

std::string ClassesText(int64_t classes) {
  return classes % 1'000'000 == 0 ? absl::StrCat(classes / 1'000'000, "m")
                                  : absl::StrCat(classes / 1000, "k");
}

Row MakeRow(int64_t classes, int64_t batch_size, bool half,
            double sample_rate) {
  Row row;
  row.classes = classes;
  row.batch_size = batch_size;
  row.half = half;
  row.sample_rate = sample_rate;
  row.name = absl::StrCat(ClassesText(classes), half ? "_fp16" : "_fp32",
                          row.partial_fc() ? "_pfc" : "", "_b", batch_size);
  return row;
}

Row WithHalfState(Row row) {
  row.half_state = true;
  row.name = absl::StrReplaceAll(row.name, {{"_b", "_state16_b"}});
  return row;
}

Row WithBar(Row row, Bar bar) {
  row.bar = bar;
  return row;
}

constexpr int64_t kGiB = int64_t{1} << 30;

}  // namespace

int64_t AutomaticBatchScale(int cores) {
  constexpr int64_t kSmallestPublished = 512, kPerCore = 8;
  int64_t scale = 1;
  while (kSmallestPublished / scale > kPerCore * cores) scale *= 2;
  return scale;
}

int64_t GpuBatchScale(int gpus) { return std::max(1, 8 / gpus); }

std::vector<Row> RowsOfPublishedTables(int64_t batch_scale) {
  std::vector<Row> rows;
  for (const PublishedRow& published : PublishedRows()) {
    Row row = MakeRow(published.classes, published.batch_size, published.half,
                      published.partial_fc ? kPublishedSampleRate : 1);
    row.batch_size = std::max<int64_t>(1, published.batch_size / batch_scale);
    row.published_batch_size = published.batch_size;
    row.published_samples_per_second = published.samples_per_second;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> RowsWithBars() {
  std::vector<Row> rows = {
      WithBar(MakeRow(10'000, 16, false, 1), {.ratio = 2.2}),
      WithBar(MakeRow(10'000, 64, false, 1), {.ratio = 2.6}),
      WithBar(MakeRow(10'000, 16, true, 1), {.ratio = 1.35}),
      WithBar(MakeRow(618'000, 16, false, 1), {.ratio = 7}),
      WithBar(MakeRow(618'000, 64, false, 1), {.ratio = 4.5}),
      WithBar(MakeRow(618'000, 16, true, 1), {.ratio = 6}),
      WithBar(MakeRow(2'000'000, 16, false, 0.1), {.ratio = 5}),
      WithBar(MakeRow(2'000'000, 32, false, 1),
              {.samples_per_second = 5, .peak_bytes = 11 * kGiB}),
      WithBar(MakeRow(2'000'000, 64, true, 1),
              {.samples_per_second = 7, .peak_bytes = 12 * kGiB}),
      // That it trains at all is what is asked.
      WithBar(MakeRow(5'000'000, 16, false, 1), {.peak_bytes = 24 * kGiB}),
      WithBar(WithHalfState(MakeRow(10'000'000, 16, false, 1)),
              {.peak_bytes = 24 * kGiB}),
  };
  Row devices = MakeRow(10'000, 16, false, 1);
  devices.name = "two_devices";
  devices.opponent = Opponent::kOneDevice;
  devices.bar.ratio = 0.93;
  rows.push_back(std::move(devices));
  return rows;
}

absl::StatusOr<std::vector<Row>> SelectRows(absl::string_view selection,
                                            int64_t batch_scale) {
  const std::vector<Row> published = RowsOfPublishedTables(batch_scale);
  const std::vector<Row> bars = RowsWithBars();
  std::vector<Row> all = published;
  all.insert(all.end(), bars.begin(), bars.end());
  if (selection == "none") return std::vector<Row>{};
  if (selection == "all") return all;
  if (selection == "published") return published;
  if (selection == "bars") return bars;

  std::vector<Row> chosen;
  auto is_named = [](absl::string_view name) {
    return [name](const Row& row) { return row.name == name; };
  };
  for (absl::string_view name :
       absl::StrSplit(selection, ',', absl::SkipWhitespace())) {
    name = absl::StripAsciiWhitespace(name);
    const auto row = std::find_if(all.begin(), all.end(), is_named(name));
    if (row == all.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--rows=", selection, ": there is no row \"", name,
          "\"; use all, published, bars, none, or some of ",
          absl::StrJoin(all, ", ", [](std::string* out, const Row& r) {
            absl::StrAppend(out, r.name);
          })));
    }
    if (std::none_of(chosen.begin(), chosen.end(), is_named(name))) {
      chosen.push_back(*row);
    }
  }
  if (chosen.empty()) {
    return absl::InvalidArgumentError(
        "--rows=: names no row; --list lists them");
  }
  return chosen;
}

}  // namespace facet::benchmarks
