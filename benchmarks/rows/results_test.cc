// Verdicts, the JSON of results, the table and the chart.

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "benchmarks/rows/results_chart.h"
#include "benchmarks/rows/results_table.h"
#include "benchmarks/rows/row_result.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int64_t kGiB = int64_t{1} << 30;

Measurement Measured(double speed, double gib) {
  Measurement m;
  m.samples_per_second = {speed};
  m.peak_bytes = static_cast<int64_t>(gib * kGiB);
  m.precision = "float32";
  return m;
}

Measurement OutOfMemory() {
  Measurement m;
  m.peak_bytes = 22 * kGiB;
  m.failure = "out of memory: killed at 22.00 GiB";
  m.out_of_memory = true;
  return m;
}

// A row of every kind: compared, alone, out of memory, failed, with one device.
RunResults SomeResults() {
  RunResults results;
  results.hardware = "A \"CPU\" <of> mine & \\ yours";
  results.cores = 2;
  results.peer = "arcface_torch";
  results.batch_scale = 32;
  results.steps = 3;
  results.warmup = 1;
  results.rounds = 1;
  const std::vector<Row> published = RowsOfPublishedTables(32);
  results.rows.push_back({published[0], Measured(4, 10), OutOfMemory()});
  results.rows.push_back({published[1], Measured(6, 8), Measured(1.5, 17)});
  results.rows.push_back({published[2], Measured(5, 7), {}});
  Measurement failed;
  failed.failure = "ended with exit code 1: bad \xff byte <&>";
  results.rows.push_back({published[3], failed, {}});
  for (const Row& row : RowsWithBars()) {
    results.rows.push_back({row, Measured(7, 9), Measured(2, 4)});
  }
  return results;
}

TEST(JudgeTest, EveryPartOfABarCounts) {
  RowResult r;
  r.ours = Measured(10, 8);
  EXPECT_EQ(Judge(r), Verdict::kNoBar);
  r.row.bar.ratio = 2;
  EXPECT_EQ(Judge(r), Verdict::kNotCompared);
  r.other = OutOfMemory();
  EXPECT_EQ(Judge(r), Verdict::kNotCompared);
  r.other = Measured(5, 1);
  EXPECT_EQ(Judge(r), Verdict::kMet);
  r.other = Measured(5.01, 1);
  EXPECT_EQ(Judge(r), Verdict::kMissed);
  r.row.bar = {.samples_per_second = 10, .peak_bytes = 8 * kGiB};
  EXPECT_EQ(Judge(r), Verdict::kMet);
  r.ours.peak_bytes += 1;
  EXPECT_EQ(Judge(r), Verdict::kMissed);
  r.ours = Measured(9.99, 8);
  EXPECT_EQ(Judge(r), Verdict::kMissed);
  r.ours = OutOfMemory();
  r.row.bar = {.peak_bytes = 24 * kGiB};
  EXPECT_EQ(Judge(r), Verdict::kMissed);
}

TEST(ResultsJsonTest, HasTheFieldsThatWerePromised) {
  const auto json = nlohmann::json::parse(ResultsJson(SomeResults()));
  const auto& rows = json.at("rows");
  ASSERT_EQ(rows.size(), SomeResults().rows.size());
  for (const auto& row : rows) {
    for (const char* key :
         {"name", "classes", "batch_size", "precision", "partial_fc",
          "samples_per_second", "peak_bytes", "peer_samples_per_second",
          "ratio", "published_v100x8"}) {
      EXPECT_TRUE(row.contains(key)) << key << " in " << row.dump();
    }
  }
  EXPECT_EQ(rows[0].at("samples_per_second"), 4);
  EXPECT_TRUE(rows[0].at("peer_samples_per_second").is_null());
  EXPECT_TRUE(rows[0].at("ratio").is_null());
  EXPECT_EQ(rows[0].at("published_v100x8"), 1868);
  EXPECT_EQ(rows[0].at("classes"), 2'000'000);
  EXPECT_EQ(rows[0].at("partial_fc"), false);
  EXPECT_EQ(rows[1].at("partial_fc"), true);
  EXPECT_EQ(rows[1].at("peer_samples_per_second"), 1.5);
  EXPECT_EQ(rows[1].at("ratio"), 4);
  EXPECT_TRUE(rows[3].at("samples_per_second").is_null());
  const auto& devices = rows.back();
  EXPECT_EQ(devices.at("name"), "two_devices");
  EXPECT_TRUE(devices.at("peer_samples_per_second").is_null());
  EXPECT_EQ(devices.at("ratio"), 3.5);
  EXPECT_EQ(devices.at("bar_met"), true);
}

TEST(ResultsJsonTest, IsReadBackAsItWas) {
  RunResults results = SomeResults();
  const std::string json = ResultsJson(results);
  const auto read = ParseResults(json);
  ASSERT_TRUE(read.ok()) << read.status();
  // The same text again: nothing was lost.
  EXPECT_EQ(ResultsJson(*read), json);
  EXPECT_EQ(ResultsTable(*read, 200), ResultsTable(*ParseResults(json), 200));
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{}"),
        json.substr(0, json.size() / 2)}) {
    EXPECT_FALSE(ParseResults(bad).ok()) << bad.substr(0, 20);
  }
}

// Whatever field is taken away or spoilt: an error, never a crash.
TEST(ResultsJsonTest, SpoiltFieldsAreNamed) {
  const auto whole = nlohmann::json::parse(ResultsJson(SomeResults()));
  for (const auto& [key, value] : whole.items()) {
    nlohmann::json spoilt = whole;
    spoilt[key] = nlohmann::json::object();
    EXPECT_FALSE(ParseResults(spoilt.dump()).ok()) << key;
    spoilt.erase(key);
    EXPECT_FALSE(ParseResults(spoilt.dump()).ok()) << key;
  }
  nlohmann::json spoilt = whole;
  spoilt["rows"][1]["classes"] = "many";
  EXPECT_THAT(std::string(ParseResults(spoilt.dump()).status().message()),
              HasSubstr("\"classes\""));
  spoilt["rows"][1] = 5;
  EXPECT_FALSE(ParseResults(spoilt.dump()).ok());
}

TEST(SetRowTest, ReplacesTheRowOfThatNameOrAppends) {
  RunResults results = SomeResults();
  const size_t count = results.rows.size();
  RowResult again = results.rows[1];
  again.ours = Measured(100, 1);
  SetRow(again, &results);
  ASSERT_EQ(results.rows.size(), count);
  EXPECT_EQ(results.rows[1].ours.Speed(), 100);
  again.row.name = "new";
  SetRow(again, &results);
  ASSERT_EQ(results.rows.size(), count + 1);
  EXPECT_EQ(results.rows.back().row.name, "new");
}

TEST(ResultsTableTest, EveryRowHasItsLineAndFailuresTheirReason) {
  const RunResults results = SomeResults();
  const std::string table = ResultsTable(results, 200);
  for (const RowResult& row : results.rows) {
    EXPECT_THAT(table, HasSubstr(absl::StrCat("\n", row.row.name, "  ")));
  }
  EXPECT_THAT(table, HasSubstr("no memory"));
  EXPECT_THAT(table, HasSubstr("2m_fp32_b512, arcface_torch: out of memory"));
  EXPECT_THAT(table, HasSubstr("2m_fp16_pfc_b512: ended with exit code 1"));
  EXPECT_THAT(table, HasSubstr(">= 2.2 x: met"));
  EXPECT_THAT(table, HasSubstr("<= 12 GiB: met"));
}

TEST(RowsTableTest, EveryRowHasItsLine) {
  const auto rows = SelectRows("all", 32);
  ASSERT_TRUE(rows.ok());
  const std::string table = RowsTable(*rows, 200);
  for (const Row& row : *rows) {
    EXPECT_THAT(table, HasSubstr(absl::StrCat("\n", row.name, "  ")));
  }
  EXPECT_THAT(table, HasSubstr(">= 0.93 x one device\n"));
}

// Tags are closed in order and nothing is unescaped: enough of XML for a file
// that has no comments, entities of its own or CDATA.
void ExpectWellFormed(const std::string& xml) {
  std::vector<std::string> open;
  size_t at = 0;
  bool had_root = false;
  while (at < xml.size()) {
    const size_t tag = xml.find('<', at);
    const std::string text = xml.substr(at, tag - at);
    EXPECT_THAT(text, Not(HasSubstr(">")));
    for (size_t a = text.find('&'); a != std::string::npos;
         a = text.find('&', a + 1)) {
      EXPECT_TRUE(std::regex_search(text.substr(a, 6),
                                    std::regex("^&(amp|lt|gt|quot);")))
          << text;
    }
    if (open.empty()) {
      EXPECT_EQ(text.find_first_not_of(" \n"), std::string::npos) << text;
    }
    if (tag == std::string::npos) break;
    const size_t end = xml.find('>', tag);
    ASSERT_NE(end, std::string::npos);
    std::string inside = xml.substr(tag + 1, end - tag - 1);
    at = end + 1;
    if (inside[0] == '/') {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(inside.substr(1), open.back());
      open.pop_back();
      continue;
    }
    EXPECT_FALSE(open.empty() && had_root) << "a second root";
    had_root = true;
    const bool closed = inside.back() == '/';
    if (closed) inside.pop_back();
    ASSERT_TRUE(std::regex_match(
        inside, std::regex("[a-z]+( [A-Za-z0-9:]+=\"[^\"<]*\")*")))
        << inside;
    if (!closed) open.push_back(inside.substr(0, inside.find(' ')));
  }
  EXPECT_TRUE(open.empty());
  EXPECT_TRUE(had_root);
}

// The widths of the bars of one style that begin at x.
std::vector<double> Widths(const std::string& svg, const std::string& style,
                           const std::string& x) {
  const std::regex bar(
      absl::StrCat("<rect class=\"", style, "\" x=\"", x,
                   "\" y=\"[0-9.e+]+\" width=\"([0-9.e+]+)\""));
  std::vector<double> widths;
  for (std::sregex_iterator it(svg.begin(), svg.end(), bar), end; it != end;
       ++it) {
    widths.push_back(std::atof((*it)[1].str().c_str()));
  }
  return widths;
}

TEST(ResultsChartTest, IsWellFormedWhateverTheResultsAre) {
  ExpectWellFormed(ResultsSvg(SomeResults()));
  ExpectWellFormed(ResultsSvg(RunResults()));
  RunResults failed = SomeResults();
  for (RowResult& row : failed.rows) row.ours = row.other = OutOfMemory();
  ExpectWellFormed(ResultsSvg(failed));
  for (const std::string& svg :
       {ResultsSvg(SomeResults()), ResultsSvg(RunResults())}) {
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(ResultsChartTest, BarsAreAsLongAsTheirFigures) {
  const RunResults results = SomeResults();
  const std::string svg = ResultsSvg(results);
  std::vector<double> speeds, memories;
  for (const RowResult& row : results.rows) {
    if (row.ours.Speed() > 0) speeds.push_back(row.ours.Speed());
    if (row.other.peak_bytes > 0) memories.push_back(row.other.peak_bytes);
  }
  const std::vector<double> speed_bars = Widths(svg, "ours", "250");
  const std::vector<double> memory_bars = Widths(svg, "other", "730");
  ASSERT_EQ(speed_bars.size(), speeds.size());
  ASSERT_EQ(memory_bars.size(), memories.size());
  for (size_t i = 1; i < speeds.size(); ++i) {
    EXPECT_NEAR(speed_bars[i] / speed_bars[0], speeds[i] / speeds[0], 1e-2);
  }
  for (size_t i = 1; i < memories.size(); ++i) {
    EXPECT_NEAR(memory_bars[i] / memory_bars[0], memories[i] / memories[0],
                1e-2);
  }
  EXPECT_THAT(svg, HasSubstr("6.00  (4.00 x)"));
  EXPECT_THAT(svg, HasSubstr("killed at 22.00"));
}

TEST(ResultsChartTest, WritesSvgAndPngWhereItCan) {
  const std::string folder = testing::TempDir() + "/chart";
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(WriteChart(SomeResults(), folder + "/a.svg").ok());
  std::ifstream file(folder + "/a.svg");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            ResultsSvg(SomeResults()));
  EXPECT_THAT(std::string(CheckChartPath("/a.gif").message()),
              HasSubstr(".svg or .png"));
  const absl::Status png = CheckChartPath(folder + "/a.png");
  if (!png.ok()) {
    EXPECT_THAT(std::string(png.message()), HasSubstr("librsvg2-bin"));
    return;
  }
  ASSERT_TRUE(WriteChart(SomeResults(), folder + "/a.png").ok());
  std::ifstream picture(folder + "/a.png");
  char magic[4] = {};
  picture.read(magic, 4);
  EXPECT_EQ(std::string(magic + 1, 3), "PNG");
  EXPECT_FALSE(WriteChart(SomeResults(), folder + "/no/a.png").ok());
  // Nothing else is left behind.
  const auto files = std::filesystem::directory_iterator(folder);
  EXPECT_EQ(std::distance(begin(files), end(files)), 2);
}

}  // namespace
}  // namespace facet::benchmarks
