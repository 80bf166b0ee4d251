#include "benchmarks/report.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;
using testing::HasSubstr;

Results SomeResults() {
  Results r;
  r.hardware = "CPU \"Zen\\4\"\n2 cores";
  r.precision = "bfloat16";
  r.classes = 2'000'000;
  r.batch_size = 32;
  r.devices = 2;
  r.step_seconds = {4, 2, 8};
  r.losses = {40.5, std::nan(""), INFINITY, 0.1};
  r.phases = {{"data", 0.25}, {"head", 1.5}};
  r.runtime_seconds = 0.1;
  r.device_bytes = {{"cpu:0", 100, 90}};
  r.predicted_peak_bytes = int64_t{1} << 33;
  r.process_peak_bytes = (int64_t{1} << 33) + 1;
  r.measures = {{"rank1_accuracy", 0.975}};
  return r;
}

Struct ReadJson(const std::string& path) {
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  Struct json;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &json);
  EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << text;
  // This parser allows line breaks in strings, JSON does not: an odd number of
  // quotes in a line.
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    int quotes = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\\') {
        ++i;
      } else {
        quotes += line[i] == '"';
      }
    }
    EXPECT_EQ(quotes % 2, 0) << line;
  }
  return json;
}

TEST(ReportTest, JsonIsValidWhateverTheValues) {
  const std::string path = testing::TempDir() + "/report.json";
  ASSERT_TRUE(WriteJson(SomeResults(), path).ok());
  const Struct json = ReadJson(path);
  auto number = [&](const char* name) {
    EXPECT_TRUE(json.fields().contains(name)) << name;
    return json.fields().at(name).number_value();
  };
  EXPECT_EQ(number("samples_per_second"), 8);  // 32 images, median 4 s.
  EXPECT_EQ(number("classes"), 2e6);
  EXPECT_EQ(number("batch_size"), 32);
  EXPECT_EQ(number("devices"), 2);
  EXPECT_EQ(number("predicted_peak_bytes"), 8589934592);
  EXPECT_EQ(number("process_peak_bytes"), 8589934593);
  EXPECT_EQ(number("rank1_accuracy"), 0.975);
  EXPECT_EQ(json.fields().at("precision").string_value(), "bfloat16");
  EXPECT_EQ(json.fields().at("hardware").string_value(),
            SomeResults().hardware);
  const auto& steps = json.fields().at("step_seconds").list_value();
  ASSERT_EQ(steps.values_size(), 3);
  EXPECT_EQ(steps.values(2).number_value(), 8);
  // JSON has no NaN: null keeps the place of a step.
  const auto& losses = json.fields().at("losses").list_value();
  ASSERT_EQ(losses.values_size(), 4);
  EXPECT_EQ(losses.values(0).number_value(), 40.5);
  EXPECT_EQ(losses.values(1).kind_case(), Value::kNullValue);
  EXPECT_EQ(losses.values(2).kind_case(), Value::kNullValue);
  EXPECT_EQ(losses.values(3).number_value(), 0.1);
  const auto& phases = json.fields().at("phases").struct_value();
  EXPECT_EQ(phases.fields().at("head").number_value(), 1.5);
  // 0.1 s of the median step of 4 s.
  EXPECT_NEAR(json.fields().at("runtime_percent").number_value(), 2.5, 1e-9);
}

// A GPU's host is not planned.
TEST(ReportTest, WhatWasNotPredictedIsNull) {
  Results results = SomeResults();
  results.predicted_peak_bytes.reset();
  const std::string path = testing::TempDir() + "/not_predicted.json";
  ASSERT_TRUE(WriteJson(results, path).ok());
  const Struct json = ReadJson(path);
  for (const char* name : {"predicted_peak_bytes", "memory_error_percent"}) {
    ASSERT_TRUE(json.fields().contains(name)) << name;
    EXPECT_EQ(json.fields().at(name).kind_case(), Value::kNullValue) << name;
  }
}

TEST(ReportTest, WritingFailsWholeAndNamesTheFile) {
  const std::string folder = testing::TempDir() + "/report_folder";
  std::filesystem::create_directories(folder);
  const absl::Status full = WriteJson(SomeResults(), "/dev/full");
  EXPECT_THAT(std::string(full.message()), HasSubstr("/dev/full"));
  const absl::Status is_folder = WriteJson(SomeResults(), folder);
  EXPECT_THAT(std::string(is_folder.message()), HasSubstr(folder));
  const absl::Status missing = WriteJson(SomeResults(), folder + "/no/r.json");
  EXPECT_THAT(std::string(missing.message()), HasSubstr("no/r.json"));
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  // A result of an earlier run is replaced as a whole.
  const std::string path = folder + "/r.json";
  std::ofstream(path) << std::string(100000, '}');
  ASSERT_TRUE(WriteJson(SomeResults(), path).ok());
  EXPECT_EQ(ReadJson(path).fields().at("devices").number_value(), 2);
}

TEST(ReportTest, PrecisionTextSaysWhatIsReallyDone) {
  Settings settings;
  EXPECT_EQ(PrecisionText(settings, /*rounds=*/false), "float32");
  EXPECT_EQ(PrecisionText(settings, /*rounds=*/true), "float32");
  settings.rounding = placement::Rounding::kConvolutions;
  EXPECT_EQ(PrecisionText(settings, /*rounds=*/false), "float32");
  EXPECT_EQ(PrecisionText(settings, /*rounds=*/true),
            "float32, convolutions in TF32");
  settings.half = ops::DataType::kBFloat16;
  EXPECT_THAT(PrecisionText(settings, /*rounds=*/false),
              testing::AllOf(testing::StartsWith("bfloat16"),
                             HasSubstr("no float16 arithmetic")));
  settings.half = ops::DataType::kFloat16;
  EXPECT_THAT(PrecisionText(settings, /*rounds=*/false),
              testing::AllOf(testing::StartsWith("float16"),
                             HasSubstr("loss scaling")));
  settings.half.reset();
  settings.storage.weight = ops::DataType::kBFloat16;
  EXPECT_THAT(PrecisionText(settings, /*rounds=*/false),
              testing::AllOf(testing::StartsWith("float32"),
                             HasSubstr("class weights bfloat16"),
                             testing::Not(HasSubstr("momentum"))));
}

}  // namespace
}  // namespace facet::benchmarks
