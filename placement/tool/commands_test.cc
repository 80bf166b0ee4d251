// The plan tool's commands, as people call them.
#include "placement/tool/commands.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "placement/plan/plan_io.h"
#include "placement/tool/request.h"

namespace facet::placement {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Path(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/", name);
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<std::string> Run(const std::vector<std::string>& arguments,
                                int width = 100) {
  const gflags::FlagSaver flags;  // Those of one command line only.
  return RunPlanTool(arguments, width);
}

std::string Output(const std::vector<std::string>& arguments, int width = 100) {
  const absl::StatusOr<std::string> text = Run(arguments, width);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

std::string Error(const std::vector<std::string>& arguments) {
  const absl::StatusOr<std::string> text = Run(arguments);
  EXPECT_FALSE(text.ok()) << *text;
  return std::string(text.status().message());
}

size_t LongestLine(const std::string& text) {
  size_t longest = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    longest = std::max(longest, line.size());
  }
  return longest;
}

const std::vector<std::string> kSmall = {"--network=r18", "--classes=1000",
                                         "--devices=cpu:2", "--batch_size=4"};

std::vector<std::string> Small(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kSmall.begin(), kSmall.end());
  return arguments;
}

// A saved plan of kSmall, compiled once.
const std::string& SmallPlanFile() {
  static const std::string& path = *new std::string([] {
    std::string file = Path("small.pb");
    Output(Small({"show", absl::StrCat("--plan_out=", file)}));
    return file;
  }());
  return path;
}

TEST(PlanTool, HelpListsTheCommands) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{}, {"help"}, {"--help"}}) {
    EXPECT_THAT(Output(arguments),
                AllOf(HasSubstr("show"), HasSubstr("explain"),
                      HasSubstr("diff"), HasSubstr("verify")));
  }
  for (const char* command : {"show", "explain", "diff", "verify"}) {
    EXPECT_THAT(Output({command, "--help"}), HasSubstr("--json")) << command;
  }
  EXPECT_THAT(Error({"shwo"}), HasSubstr("commands are show"));
}

TEST(PlanTool, ShowFoldsRepeatedBlocks) {
  const std::vector<std::string> r50 = {"show", "--network=r50",
                                        "--classes=2000000", "--fp16",
                                        "--devices=v100_sxm2_32gb:8"};
  const std::string folded = Output(r50);
  EXPECT_THAT(folded,
              AllOf(HasSubstr("8 x v100_sxm2_32gb"), HasSubstr("x13"),
                    HasSubstr("layer3.1-13"), Not(HasSubstr("layer3.13."))));
  std::vector<std::string> all = r50;
  all.push_back("--unfold");
  const std::string unfolded = Output(all);
  EXPECT_THAT(unfolded, AllOf(HasSubstr("layer3.13."), Not(HasSubstr("x13"))));
  EXPECT_GT(std::count(unfolded.begin(), unfolded.end(), '\n'),
            2 * std::count(folded.begin(), folded.end(), '\n'));
}

TEST(PlanTool, ShowKeepsToTheTerminalsWidth) {
  for (int width : {80, 100, 160}) {
    EXPECT_LE(LongestLine(Output({"show", SmallPlanFile()}, width)), width);
    const std::string verified = Output({"verify", SmallPlanFile()}, width);
    // Less its first line, the file's name.
    EXPECT_LE(LongestLine(verified.substr(verified.find('\n'))), width);
  }
}

TEST(PlanTool, ShowAsJson) {
  const std::string file = Path("show.json");
  const json printed = json::parse(
      Output(Small({"show", "--format=json", absl::StrCat("--json=", file)})));
  for (const json& facts : {printed, json::parse(Read(file))}) {
    EXPECT_GT(facts["compile_seconds"].get<double>(), 0);
    EXPECT_GE(facts["arena_over_lower_bound"].get<double>(), 1);
    EXPECT_LE(facts["arena_over_lower_bound"].get<double>(), 1.02);
    EXPECT_GE(facts["optimality_gap"].get<double>(), 0);
    EXPECT_EQ(facts["devices"].size(), 2);
    EXPECT_FALSE(facts["collectives"].empty());
    const json& tensors = facts["tensors"];
    const auto head = std::find_if(
        tensors.begin(), tensors.end(),
        [](const json& tensor) { return tensor["name"] == "head.weight"; });
    ASSERT_NE(head, tensors.end());
    EXPECT_EQ((*head)["shape"], json({1000, 512}));
    EXPECT_EQ((*head)["bytes"], 1000 * 512 * 4);
  }
  // A saved plan does not know how long it took.
  EXPECT_TRUE(json::parse(Output({"show", "--format=json", SmallPlanFile()}))
                  .at("compile_seconds")
                  .is_null());
}

// Whatever describes a model can be asked for.
TEST(PlanTool, ShowTakesAllFlagsOfARequest) {
  const std::string help = Output({"show", "--help"});
  for (const std::string& flag : RequestFlags()) {
    EXPECT_THAT(help, HasSubstr(absl::StrCat("  --", flag, " "))) << flag;
  }
  const std::string listing =
      Output({"show", "--network=r18", "--classes=1000", "--devices=cpu:2",
              "--partial_fc=0.1", "--partial_fc_update=dense"});
  EXPECT_THAT(listing, AllOf(HasSubstr("partial_fc 0.1"),
                             HasSubstr("row_update=dense")));
}

TEST(PlanTool, ShowDraws) {
  EXPECT_THAT(Output({"show", "--format=dot", SmallPlanFile()}),
              AllOf(HasSubstr("digraph"), HasSubstr("head"),
                    HasSubstr("shape=hexagon"), HasSubstr("S(0)")));
  EXPECT_THAT(Output({"show", "--format=svg", SmallPlanFile()}),
              AllOf(HasSubstr("<svg"), HasSubstr("</svg>")));
  EXPECT_THAT(Error({"show", "--format=png", SmallPlanFile()}),
              HasSubstr("use text, json, dot, svg, html"));
}

TEST(PlanTool, HardwareThatIsNotHere) {
  const std::string file = Path("v100.pb");
  Output({"show", "--network=r18", "--classes=1000",
          "--devices=v100_sxm2_32gb:3", absl::StrCat("--plan_out=", file)});
  const absl::StatusOr<Plan> plan = ReadPlan(file);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->devices_size(), 3);
  EXPECT_EQ(plan->devices(2).name(), "v100_sxm2_32gb:2");
  EXPECT_GT(plan->devices(2).memory_bytes(), int64_t{30} << 30);
  // What does not fit is shown all the same, and said.
  EXPECT_THAT(Output({"show", "--network=r18", "--classes=20000000",
                      "--devices=v100_sxm2_32gb:1"}),
              HasSubstr("not on these devices: the model does not fit"));
  EXPECT_THAT(Error({"show", "--devices=v200:8"}),
              HasSubstr("a100, h100, v100_sxm2_32gb"));
}

TEST(PlanTool, VerifySaysWhatIsProven) {
  const std::string file = Path("verify.json");
  EXPECT_THAT(
      Output({"verify", SmallPlanFile(), absl::StrCat("--json=", file)}),
      AllOf(HasSubstr(": valid\n2 devices"), HasSubstr("deadlock"),
            HasSubstr("overlap"), HasSubstr("before it is read")));
  const json verdict = json::parse(Read(file));
  EXPECT_EQ(verdict["valid"], true);
  EXPECT_TRUE(verdict["violations"].empty());
  EXPECT_GT(verdict["tasks"].get<int>(), 100);
}

TEST(PlanTool, VerifyNamesTheViolation) {
  absl::StatusOr<Plan> plan = ReadPlan(SmallPlanFile());
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::string broken = Path("broken.pb"), file = Path("broken.json");
  plan->mutable_registers(3)->set_credits(0);
  ASSERT_TRUE(WritePlan(*plan, broken).ok());
  EXPECT_THAT(Error({"verify", broken, absl::StrCat("--json=", file)}),
              AllOf(HasSubstr("is not a plan that may be run"),
                    HasSubstr("register 3"), HasSubstr("credits 0")));
  const json verdict = json::parse(Read(file));
  EXPECT_EQ(verdict["valid"], false);
  EXPECT_EQ(verdict["violations"].size(), 1);
  EXPECT_TRUE(verdict["proven"].empty());
  // More than there is of the host's memory.
  EXPECT_THAT(Error({"verify", SmallPlanFile(), "--host_memory_gib=0.001"}),
              HasSubstr("of host memory together"));
  EXPECT_THAT(Output({"verify", SmallPlanFile(), "--host_memory_gib=0"}),
              HasSubstr("valid"));
  EXPECT_THAT(Error({"verify", Path("none.pb")}), HasSubstr("No such file"));
  EXPECT_THAT(Error({"verify"}), HasSubstr("takes one plan file"));
}

TEST(PlanTool, DiffListsWhatDiffers) {
  EXPECT_EQ(Output({"diff", SmallPlanFile(), SmallPlanFile()}),
            "the plans do not differ\n");
  const std::string pinned = Path("pinned.pb"), file = Path("diff.json");
  Output(Small(
      {"show", "--pin=head.weight:B", absl::StrCat("--plan_out=", pinned)}));
  const std::string split = Path("split.pb");
  Output(Small(
      {"show", "--pin=head.weight:S(0)", absl::StrCat("--plan_out=", split)}));
  EXPECT_THAT(
      Output({"diff", split, pinned, absl::StrCat("--json=", file)}, 160),
      AllOf(HasSubstr("predicted step"), HasSubstr("arena of cpu:0"),
            HasSubstr("sent by a device"), HasSubstr("float32[1000, 512] S(0)"),
            HasSubstr("float32[1000, 512] B")));
  const json difference = json::parse(Read(file));
  EXPECT_EQ(difference["equal"], false);
  for (const char* key : {"numbers", "tensors", "collectives", "options"}) {
    EXPECT_FALSE(difference[key].empty()) << key;
  }
}

TEST(PlanTool, ExplainNamesTheAlternatives) {
  const std::string file = Path("explain.json");
  const std::string text = Output(
      Small({"explain", "head.weight", absl::StrCat("--json=", file)}), 160);
  EXPECT_THAT(text, AllOf(HasSubstr("in layer head"), HasSubstr("float32"),
                          HasSubstr("signature"), HasSubstr("communication")));
  const json facts = json::parse(Read(file));
  EXPECT_EQ(facts["layer"], "head");
  ASSERT_EQ(facts["tensors"].size(), 1);
  const json& tensor = facts["tensors"][0];
  EXPECT_FALSE(tensor["forced_by"].get<std::string>().empty());
  int chosen = 0;
  double least = 1e300, of_chosen = 0;
  std::vector<std::string> sbps;
  for (const json& option : tensor["options"]) {
    sbps.push_back(option["sbp"]);
    if (!option["possible"].get<bool>()) {
      EXPECT_FALSE(option["why"].get<std::string>().empty()) << option;
      continue;
    }
    const double step = option["step_seconds"];
    least = std::min(least, step);
    EXPECT_GT(option["arena_bytes"].get<int64_t>(), 0);
    // Compute and communication are all there is in the model.
    EXPECT_NEAR(option["compute_seconds"].get<double>() +
                    option["communication_seconds"].get<double>(),
                step, 1e-9 * step);
    if (option["chosen"].get<bool>()) {
      ++chosen;
      of_chosen = step;
    } else {
      EXPECT_FALSE(option["why"].get<std::string>().empty()) << option;
    }
  }
  EXPECT_EQ(chosen, 1);
  EXPECT_LE(of_chosen, least * (1 + 1e-9));
  EXPECT_THAT(sbps, testing::UnorderedElementsAre("B", "S(0)", "S(1)"));
}

TEST(PlanTool, ExplainKnowsWhoForcedIt) {
  EXPECT_THAT(
      Output(Small({"explain", "head.weight", "--pin=head.weight:B"}), 200),
      HasSubstr("pin: --pin says so"));
  EXPECT_THAT(Output({"explain", "head.weight", "--network=r18",
                      "--classes=1000", "--devices=cpu:1"},
                     200),
              HasSubstr("one device: there is nothing to choose"));
  // Three input channels cannot be split over four devices.
  EXPECT_THAT(Output({"explain", "conv1.weight", "--network=r18",
                      "--classes=1000", "--devices=cpu:4"},
                     200),
              HasSubstr("shape: dimension 1 is 3, fewer than the 4 devices"));
}

TEST(PlanTool, ExplainSuggestsNames) {
  EXPECT_THAT(Error(Small({"explain", "head.wieght"})),
              AllOf(HasSubstr("no tensor or operator"),
                    HasSubstr("similar ones: "), HasSubstr("head.weight")));
  EXPECT_THAT(Error(Small({"explain", "qqqqqqqqqqqqqqqqqqqqqqqq"})),
              HasSubstr("--unfold"));
}

}  // namespace
}  // namespace facet::placement
