// `plan simulate`, as it is called.

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "placement/tool/commands.h"

namespace facet::placement {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::string> Simulate(std::vector<std::string> flags) {
  const gflags::FlagSaver saver;  // Those of one command line only.
  flags.insert(flags.begin(), "simulate");
  return RunPlanTool(flags, 100);
}

TEST(SimulateTest, OneModel) {
  const std::string path = testing::TempDir() + "/simulated.json";
  auto simulate = [&](const std::string& hardware) {
    const absl::StatusOr<std::string> text =
        Simulate({"--hardware=" + hardware, "--network=r18", "--classes=10000",
                  "--batch_size=64", "--json=" + path});
    EXPECT_TRUE(text.ok()) << text.status();
    EXPECT_THAT(*text, HasSubstr("simulated: r18, 10000 classes, batch 64"));
    return nlohmann::json::parse(std::ifstream(path));
  };
  const auto one = simulate("v100_sxm2_32gb:1");
  EXPECT_EQ(one["simulated"], true);
  EXPECT_EQ(one["hardware"], "v100_sxm2_32gb");
  EXPECT_EQ(one["fits"], true);
  EXPECT_NEAR(one["samples_per_second"].get<double>() *
                  one["step_seconds"].get<double>(),
              64, 1e-6);
  EXPECT_EQ(one["phases"]["communication"], 0);
  EXPECT_GT(one["phases"]["forward"], 0);
  // More devices are faster, need less memory each, and have to talk.
  const auto four = simulate("v100_sxm2_32gb:4");
  EXPECT_LT(four["step_seconds"], one["step_seconds"]);
  EXPECT_LT(four["memory_bytes"], one["memory_bytes"]);
  EXPECT_GT(four["phases"]["communication"], 0);
  // So is a later device.
  EXPECT_LT(simulate("a100:1")["step_seconds"], one["step_seconds"]);
}

TEST(SimulateTest, WhatDoesNotFitIsSaid) {
  const absl::StatusOr<std::string> text =
      Simulate({"--hardware=v100_sxm2_32gb:1", "--network=r18",
                "--classes=20000000", "--batch_size=8"});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("does not fit"));
}

// The 14 rows, by both; ours with Partial FC where the row has it.
TEST(SimulateTest, PublishedRows) {
  const std::string path = testing::TempDir() + "/published.json";
  const absl::StatusOr<std::string> text =
      Simulate({"--published", "--json=" + path});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, testing::Not(HasSubstr("compares the two")));
  const auto json = nlohmann::json::parse(std::ifstream(path));
  EXPECT_LE(json["mean_absolute_error_percent_unseen"].get<double>(), 8);
  ASSERT_EQ(json["rows"].size(), 14);
  ASSERT_EQ(json["ours"].size(), 14);
  std::map<std::string, double> head;
  for (size_t i = 0; i < 14; ++i) {
    const auto& ours = json["ours"][i];
    EXPECT_EQ(ours["name"], json["rows"][i]["name"]);
    EXPECT_EQ(ours["fits"], true) << ours["name"];
    head[ours["name"]] = ours["phases"]["head"];
  }
  // A tenth of the classes is about a tenth of the head.
  const double ratio =
      head["2M, batch 1024, fp16, Partial FC"] / head["2M, batch 1024, fp16"];
  EXPECT_GT(ratio, 0.08);
  EXPECT_LT(ratio, 0.15);
}

TEST(SimulateTest, OtherHardwareThanThePublishedIsSaid) {
  const absl::StatusOr<std::string> text =
      Simulate({"--published", "--hardware=h100:8"});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("Published was v100_sxm2_32gb, simulated is "
                               "h100: the error compares the two"));
}

TEST(SimulateTest, ErrorsNameTheFlag) {
  EXPECT_THAT(
      std::string(Simulate({"--hardware=v100_sxm2_32gb:3", "--published"})
                      .status()
                      .message()),
      HasSubstr("the published runs had 8 devices"));
  for (const char* hardware :
       {"v100_sxm2_32gb", "v100_sxm2_32gb:0", "v100_sxm2_32gb:many"}) {
    EXPECT_THAT(
        std::string(Simulate({std::string("--hardware=") + hardware})
                        .status()
                        .message()),
        testing::AllOf(HasSubstr("--hardware"), HasSubstr("NAME:COUNT")));
  }
  EXPECT_THAT(std::string(Simulate({"--hardware=abacus:8"}).status().message()),
              testing::AllOf(HasSubstr("abacus"), HasSubstr("v100_sxm2_32gb"),
                             HasSubstr("h100")));
  EXPECT_THAT(
      std::string(Simulate({"--hardware=a100:8", "--fit"}).status().message()),
      HasSubstr("--published"));
  EXPECT_THAT(
      std::string(
          Simulate({"--fit=false", "--devices=cpu:2"}).status().message()),
      HasSubstr("there is no flag --devices"));
  for (const char* table : {"--published", "--scale_out"}) {
    EXPECT_THAT(
        std::string(Simulate({table, "--mesh=a:2,b:4"}).status().message()),
        testing::AllOf(HasSubstr("--mesh=a:2,b:4"), HasSubstr("in a row")));
  }
}

}  // namespace
}  // namespace facet::placement
