#include "benchmarks/rows/results_chart.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "benchmarks/rows/child_process.h"
#include "benchmarks/rows/results_table.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "placement/tool/flag_values.h"

namespace facet::benchmarks {
namespace {

// All lengths in pixels.
constexpr double kWidth = 1120;
constexpr double kTop = 118;  // Of the first row.
constexpr double kRowHeight = 36;
constexpr double kBar = 12;  // Of one bar; a row has two.
constexpr double kBottom = 44;

// What the columns of bars show.
struct Panel {
  const char* title;
  double left;
  double width;  // Of the longest bar; its figure stands to the right of it.
};
constexpr Panel kSpeed = {"samples/s", 250, 340};
constexpr Panel kMemory = {"peak memory, GiB", 730, 220};
constexpr double kPublishedRight = 1100;

// $0 width, $1 height, $2 title, $3 subtitle, $4 content.
constexpr char kDocument[] =
    R"(<svg xmlns="http://www.w3.org/2000/svg" width="$0" height="$1" viewBox="0 0 $0 $1">
<style>
  text { font: 12px Helvetica, Arial, sans-serif; fill: #1f2937; }
  .title { font-size: 17px; font-weight: bold; }
  .note { fill: #6b7280; }
  .small { font-size: 11px; fill: #6b7280; }
  .head { font-weight: bold; }
  .right { text-anchor: end; }
  .ours { fill: #2563eb; }
  .other { fill: #a8b0bd; }
  .grid { stroke: #e5e7eb; }
  .band { fill: #f8fafc; }
</style>
<rect width="100%" height="100%" fill="white"/>
<text class="title" x="20" y="32">$2</text>
<text class="note" x="20" y="52">$3</text>
$4</svg>
)";
// $0 class, $1 x, $2 y, $3 text.
constexpr char kText[] = "<text class=\"$0\" x=\"$1\" y=\"$2\">$3</text>\n";
// $0 class, $1 x, $2 y, $3 width, $4 height.
constexpr char kRect[] =
    "<rect class=\"$0\" x=\"$1\" y=\"$2\" width=\"$3\" height=\"$4\"/>\n";
// $0 x, $1 top, $2 bottom.
constexpr char kGridLine[] =
    "<line class=\"grid\" x1=\"$0\" y1=\"$1\" x2=\"$0\" y2=\"$2\"/>\n";

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Pixels(double value) { return absl::StrFormat("%.4g", value); }

std::string Text(const char* style, double x, double y,
                 const std::string& text) {
  return absl::Substitute(kText, style, Pixels(x), Pixels(y), Escape(text));
}

std::string Rect(const char* style, double x, double y, double width,
                 double height) {
  return absl::Substitute(kRect, style, Pixels(x), Pixels(y), Pixels(width),
                          Pixels(height));
}

// The distance between grid lines: 1, 2 or 5 times a power of ten, three to
// seven of them.
double GridStep(double largest) {
  const double power = std::pow(10, std::floor(std::log10(largest)));
  for (const double factor : {0.2, 0.5, 1.0}) {
    if (largest / (factor * power) <= 7) return factor * power;
  }
  return 2 * power;
}

double GiB(int64_t bytes) { return bytes / double{1 << 30}; }

std::string Axis(const Panel& panel, double largest, double bottom) {
  std::string svg = Text("head", panel.left, kTop - 26, panel.title);
  if (!(largest > 0)) return svg;
  const double step = GridStep(largest);
  for (double value = 0; value <= largest * 1.0001; value += step) {
    const double x = panel.left + value / largest * panel.width;
    absl::StrAppend(
        &svg,
        absl::Substitute(kGridLine, Pixels(x), Pixels(kTop - 4),
                         Pixels(bottom)),
        Text("small", x - 3, kTop - 8, absl::StrFormat("%g", value)));
  }
  return svg;
}

std::string Bar(const char* style, const Panel& panel, double y, double value,
                double largest, const std::string& figure) {
  const double width = value > 0 ? value / largest * panel.width : 0;
  std::string svg;
  if (width > 0) svg = Rect(style, panel.left, y, width, kBar);
  return absl::StrCat(
      svg, Text("small", panel.left + width + 5, y + kBar - 2, figure));
}

// "12.34  (2.20 x)".
std::string SpeedFigure(const Measurement& m, double ratio) {
  if (m.out_of_memory) return "out of memory";
  if (!m.ok()) return m.failure.empty() ? "" : "failed";
  return ratio > 0 ? absl::StrFormat("%s  (%.2f x)", SpeedText(m), ratio)
                   : SpeedText(m);
}

// A contestant that was killed had no peak, but how far it came is known.
std::string MemoryFigure(const Measurement& m) {
  if (m.peak_bytes == 0) return "";
  return absl::StrFormat(m.ok() ? "%.2f" : "killed at %.2f", GiB(m.peak_bytes));
}

std::string RowSvg(const RowResult& r, double y, double most_speed,
                   double most_memory) {
  std::string batch = absl::StrCat("batch ", r.row.batch_size);
  if (r.row.published_batch_size > 0) {
    absl::StrAppend(&batch, ", published ", r.row.published_batch_size);
  }
  if (r.row.opponent == Opponent::kOneDevice) {
    absl::StrAppend(&batch, "; below: one device");
  }
  const double below = y + kBar + 1;
  std::string svg = absl::StrCat(
      Text("head", 20, y + 10, r.row.name), Text("small", 20, y + 24, batch),
      Bar("ours", kSpeed, y, r.ours.Speed(), most_speed,
          SpeedFigure(r.ours, r.Ratio())),
      Bar("ours", kMemory, y, GiB(r.ours.peak_bytes), most_memory,
          MemoryFigure(r.ours)));
  if (r.compared()) {
    absl::StrAppend(&svg,
                    Bar("other", kSpeed, below, r.other.Speed(), most_speed,
                        SpeedFigure(r.other, 0)),
                    Bar("other", kMemory, below, GiB(r.other.peak_bytes),
                        most_memory, MemoryFigure(r.other)));
  }
  if (r.row.published_samples_per_second > 0) {
    absl::StrAppend(
        &svg,
        Text("right", kPublishedRight, y + 17,
             absl::StrFormat("%.0f", r.row.published_samples_per_second)));
  }
  return svg;
}

std::string Legend(bool with_other) {
  std::string svg =
      Rect("ours", 20, 66, kBar, kBar) + Text("", 38, 76, "Facet");
  if (with_other) {
    absl::StrAppend(&svg, Rect("other", 96, 66, kBar, kBar),
                    Text("", 114, 76, "arcface_torch"));
  }
  return svg;
}

}  // namespace

std::string ResultsSvg(const RunResults& results) {
  double most_speed = 0, most_memory = 0;
  bool with_other = false;
  for (const RowResult& r : results.rows) {
    most_speed = std::max({most_speed, r.ours.Speed(), r.other.Speed()});
    most_memory = std::max(
        {most_memory, GiB(r.ours.peak_bytes), GiB(r.other.peak_bytes)});
    with_other = with_other || r.compared();
  }
  const double bottom = kTop + kRowHeight * results.rows.size();
  std::string content = Legend(with_other);
  for (size_t i = 0; i < results.rows.size(); i += 2) {
    content +=
        Rect("band", 10, kTop + kRowHeight * i - 5, kWidth - 20, kRowHeight);
  }
  absl::StrAppend(&content, Axis(kSpeed, most_speed, bottom),
                  Axis(kMemory, most_memory, bottom),
                  Text("head right", kPublishedRight, kTop - 26, "8 x V100"),
                  Text("small right", kPublishedRight, kTop - 10, "published"));
  for (size_t i = 0; i < results.rows.size(); ++i) {
    content +=
        RowSvg(results.rows[i], kTop + kRowHeight * i, most_speed, most_memory);
  }
  absl::StrAppend(
      &content, Text("small", 20, bottom + 26,
                     "8 x V100: what arcface_torch's authors published for 8 x "
                     "V100-SXM2-32GB, in samples/s; another machine, for "
                     "orientation."));
  return absl::Substitute(
      kDocument, Pixels(kWidth), Pixels(bottom + kBottom),
      "Training speed and memory by number of identities",
      Escape(absl::StrCat(results.hardware, ", ", results.cores,
                          " cores; published batch sizes divided by ",
                          results.batch_scale, "; median of ", results.rounds,
                          results.rounds == 1 ? " round" : " rounds")),
      content);
}

absl::Status CheckChartPath(const std::string& path) {
  if (absl::EndsWith(path, ".svg")) return absl::OkStatus();
  if (!absl::EndsWith(path, ".png")) {
    return placement::InvalidFlag("chart", path,
                                  "use a name that ends with .svg or .png");
  }
  const absl::StatusOr<ChildEnd> end =
      RunChild({"rsvg-convert", "--version"}, {});
  if (end.ok() && end->ok()) return absl::OkStatus();
  return placement::InvalidFlag(
      "chart", path,
      "PNG needs rsvg-convert (Debian: apt-get install librsvg2-bin); or use "
      "a name that ends with .svg");
}

absl::Status WriteChart(const RunResults& results, const std::string& path) {
  const std::string svg = ResultsSvg(results);
  if (!absl::EndsWith(path, ".png")) {
    return placement::WriteFileAtomically(path, svg);
  }
  // Beside the picture, where we may write; gone in any case.
  const std::string source = path + ".svg", picture = path + ".part";
  RETURN_IF_ERROR(placement::WriteFileAtomically(source, svg));
  const absl::StatusOr<ChildEnd> end =
      RunChild({"rsvg-convert", "--zoom=2", "--output", picture, source}, {});
  std::error_code error;
  std::filesystem::remove(source, error);
  RETURN_IF_ERROR(end.status());
  if (end->ok()) std::filesystem::rename(picture, path, error);
  if (end->ok() && !error) return absl::OkStatus();
  const std::string reason = end->ok() ? error.message() : end->Failure();
  std::filesystem::remove(picture, error);
  return absl::UnavailableError(
      absl::StrCat("--chart=", path, ": rsvg-convert: ", reason));
}

}  // namespace facet::benchmarks
