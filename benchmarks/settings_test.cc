#include "benchmarks/settings.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What ParseSettings makes of a command line. Flags are global: they are put
// back afterwards.
absl::StatusOr<Settings> Parse(std::vector<std::string> flags,
                               const Preset& preset) {
  const gflags::FlagSaver saver;
  flags.insert(flags.begin(), "program");
  std::vector<char*> arguments;
  for (std::string& flag : flags) arguments.push_back(flag.data());
  int argc = static_cast<int>(arguments.size());
  char** argv = arguments.data();
  return ParseSettings(&argc, &argv, preset);
}

Preset SmallPreset() {
  Preset preset;
  preset.program = "program";
  preset.classes = 1000;
  preset.network = "r18";
  return preset;
}

TEST(SettingsTest, APresetIsWhatNoFlagChanges) {
  Preset preset = SmallPreset();
  preset.steps = 7;
  preset.warmup = 3;
  preset.learning_rate = 0.02;
  preset.lr_decay = true;
  preset.margin = "cosface";
  const auto s = Parse({"--devices=cpu:3"}, preset);
  ASSERT_TRUE(s.ok()) << s.status();
  EXPECT_EQ(s->devices, 3);
  EXPECT_EQ(s->network, "r18");
  EXPECT_EQ(s->classes, 1000);
  EXPECT_EQ(s->batch_size, 48);  // 16 per device.
  EXPECT_EQ(s->steps, 7);
  EXPECT_EQ(s->warmup, 3);
  EXPECT_EQ(s->learning_rate, 0.02);
  EXPECT_TRUE(s->lr_decay);
  EXPECT_FALSE(s->half.has_value());
  EXPECT_EQ(s->margin.m2, 0);
  EXPECT_EQ(s->margin.m3, 0.4);
  EXPECT_EQ(s->data, "synthetic");
  EXPECT_TRUE(s->fuse);
  EXPECT_TRUE(s->pins.empty());
  EXPECT_EQ(s->json, "");
  EXPECT_EQ(s->conv, "auto");
}

TEST(SettingsTest, HowConvolutionsAreComputed) {
  for (const char* conv : {"auto", "direct", "winograd", "rule"}) {
    const auto s = Parse({"--devices=cpu:2", std::string("--conv=") + conv},
                         SmallPreset());
    ASSERT_TRUE(s.ok()) << s.status();
    EXPECT_EQ(s->conv, conv);
  }
  const auto s = Parse({"--devices=cpu:2", "--conv=fft"}, SmallPreset());
  EXPECT_THAT(std::string(s.status().message()),
              AllOf(HasSubstr("--conv=fft"), HasSubstr("use auto, direct")));
  const auto cuda = Parse({"--devices=cuda:2", "--conv=direct"}, SmallPreset());
  EXPECT_THAT(std::string(cuda.status().message()),
              AllOf(HasSubstr("--conv=direct"), HasSubstr("auto or rule")));
}

TEST(SettingsTest, FlagsChangeIt) {
  const auto s = Parse(
      {"--devices=cpu:2", "--classes=50", "--batch_size=6", "--network=r50",
       "--margin=1.35,0.5,0.1", "--margin_gradient=exact", "--fuse=none",
       "--partial_fc=0.25", "--partial_fc_update=dense", "--sync_bn",
       "--seed=9", "--keep_going", "--clip_norm=0",
       "--pin=head.weight:S(0);images:1:B"},
      SmallPreset());
  ASSERT_TRUE(s.ok()) << s.status();
  EXPECT_EQ(s->classes, 50);
  EXPECT_EQ(s->batch_size, 6);
  EXPECT_EQ(s->network, "r50");
  EXPECT_EQ(s->margin.m1, 1.35);
  EXPECT_EQ(s->margin.m3, 0.1);
  EXPECT_EQ(s->margin_gradient, "exact");
  EXPECT_FALSE(s->fuse);
  EXPECT_EQ(s->partial_fc, 0.25);
  EXPECT_EQ(s->partial_fc_update, "dense");
  const models::TrainConfig config = placement::TrainConfigOf(*s);
  EXPECT_EQ(config.sample_rate, 0.25);
  EXPECT_EQ(config.class_groups, 2);
  EXPECT_EQ(placement::CompileOptionsOf(*s, 0).optimizer.row_update, "dense");
  EXPECT_TRUE(s->sync_bn);
  EXPECT_TRUE(s->keep_going);
  EXPECT_EQ(s->seed, 9);
  EXPECT_EQ(s->clip_norm, 0);
  EXPECT_EQ(s->pins,
            (std::map<std::string, ops::NdSbp>{{"head.weight", ops::Sbp::S(0)},
                                               {"images:1", ops::Sbp::B()}}));
}

TEST(SettingsTest, HalfIsWhatTheDeviceDoesBestUnlessForced) {
  const Preset preset = SmallPreset();
  EXPECT_EQ(Parse({"--fp16"}, preset)->half, ops::DataType::kBFloat16);
  EXPECT_EQ(Parse({"--fp16", "--half_type=float16"}, preset)->half,
            ops::DataType::kFloat16);
  EXPECT_EQ(Parse({"--fp16", "--half_type=bfloat16"}, preset)->half,
            ops::DataType::kBFloat16);
}

TEST(SettingsTest, ConvolutionsMayRoundAsInPyTorchUnlessSaidOtherwise) {
  const Preset preset = SmallPreset();
  using placement::Rounding;
  EXPECT_EQ(Parse({}, preset)->rounding, Rounding::kConvolutions);
  EXPECT_EQ(Parse({"--fp16"}, preset)->rounding, Rounding::kAll);
  EXPECT_EQ(Parse({"--fp16", "--tf32=none"}, preset)->rounding,
            Rounding::kNone);
  EXPECT_EQ(Parse({"--tf32=all"}, preset)->rounding, Rounding::kAll);
  EXPECT_EQ(
      placement::CompileOptionsOf(*Parse({"--tf32=all"}, preset), 0).rounding,
      Rounding::kAll);
}

TEST(SettingsTest, PathsAreFromWhereTheUserStands) {
  const std::string folder = testing::TempDir();
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", folder.c_str(), 1), 0);
  const auto s = Parse({"--json=r.json", "--trace_out=./t.json",
                        "--plan_out=p.pb", "--data=faces"},
                       SmallPreset());
  unsetenv("BUILD_WORKING_DIRECTORY");
  ASSERT_TRUE(s.ok()) << s.status();
  namespace fs = std::filesystem;
  EXPECT_EQ(s->json, (fs::path(folder) / "r.json").lexically_normal());
  EXPECT_EQ(s->trace_out, (fs::path(folder) / "t.json").lexically_normal());
  EXPECT_EQ(s->plan_out, (fs::path(folder) / "p.pb").lexically_normal());
  EXPECT_EQ(s->data, (fs::path(folder) / "faces").lexically_normal());
  // Without Bazel: from the current folder.
  EXPECT_EQ(Parse({"--json=r.json"}, SmallPreset())->json,
            (fs::current_path() / "r.json").string());
}

TEST(SettingsTest, RefusalsNameFlagValueAndWhatIsAllowed) {
  struct Case {
    const char* flag;
    const char* says;
  };
  for (const Case& c :
       std::vector<Case>{{"--lr=nan", "use 0 to"},
                         {"--lr=inf", "use 0 to"},
                         {"--momentum=-0.1", "use 0 to 1"},
                         {"--weight_decay=nan", "use 0 to 1"},
                         {"--clip_norm=-1", "use 0 to"},
                         {"--dropout=1", "use 0 to 0.99"},
                         {"--partial_fc=1.1", "use 0 to 1"},
                         {"--partial_fc=-0.1", "use 0 to 1"},
                         {"--partial_fc=nan", "use 0 to 1"},
                         {"--partial_fc_update=all", "use sampled or dense"},
                         {"--partial_fc_update=dense", "has no effect"},
                         {"--classes=-5", "use 0 to 2147483647"},
                         {"--classes=3000000000", "use 0 to 2147483647"},
                         {"--classes=0", "synthetic"},
                         {"--batch_size=-3", "use 1 to"},
                         {"--warmup=-1", "use 0 to"},
                         {"--lr_warmup_style=peer", "as_arcface_torch"},
                         {"--held_out=0", "use 1 to"},
                         {"--devices=cpu:-1", "cpu:N"},
                         {"--devices=cpu:2000", "1 to 1024"},
                         {"--devices=", "cpu:N"},
                         {"--devices=v100_sxm2_32gb:8", "nothing runs on here"},
                         {"--margin=nan,0,0", "m1"},
                         {"--margin=0,0.5,0", "m1"},
                         {"--fuse=always", "auto or none"},
                         {"--cuda_graph", "only CUDA devices"},
                         {"--network=", "r18, r34"}}) {
    SCOPED_TRACE(c.flag);
    const auto s = Parse({c.flag}, SmallPreset());
    EXPECT_EQ(s.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string flag(c.flag);
    EXPECT_THAT(
        std::string(s.status().message()),
        AllOf(HasSubstr(flag.substr(0, flag.find('='))), HasSubstr(c.says)));
  }
}

// Before the run and not after it.
TEST(SettingsTest, OutputsThatCannotBeWrittenAreRefused) {
  namespace fs = std::filesystem;
  // Not in TempDir(), which may lie in a folder that is root's alone.
  char folder_pattern[] = "/tmp/facet_settings_test_XXXXXX";
  const std::string folder = mkdtemp(folder_pattern);
  fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  const uid_t user = geteuid();
  // Nothing is forbidden to root.
  if (user == 0) {
    fs::permissions(folder, fs::perms::others_exec, fs::perm_options::add);
    ASSERT_EQ(seteuid(65534), 0);
  }
  for (const char* flag : {"json", "plan_out", "trace_out"}) {
    const auto s = Parse({std::string("--") + flag + "=" + folder + "/r.json"},
                         SmallPreset());
    EXPECT_THAT(std::string(s.status().message()),
                AllOf(HasSubstr(flag), HasSubstr("cannot write to " + folder),
                      HasSubstr("Permission denied")));
  }
  if (user == 0) {
    ASSERT_EQ(seteuid(user), 0);
  }
  fs::remove(folder);
  const auto missing = Parse({"--json=/no/folder/r.json"}, SmallPreset());
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("there is no folder /no/folder"));
}

TEST(SettingsTest, APlansNameSaysHowItIsWritten) {
  const std::string file = testing::TempDir() + "/plan";
  EXPECT_THAT(
      std::string(
          Parse({"--plan_out=" + file}, SmallPreset()).status().message()),
      AllOf(HasSubstr("--plan_out=" + file), HasSubstr(".pbtxt")));
  for (const char* ending : {".pb", ".txt", ".pbtxt", ".json"}) {
    EXPECT_TRUE(Parse({"--plan_out=" + file + ending}, SmallPreset()).ok())
        << ending;
  }
}

TEST(SettingsTest, OutputsMustDiffer) {
  const std::string file = testing::TempDir() + "/r.json";
  const auto s = Parse({"--json=" + file, "--plan_out=" + file}, SmallPreset());
  EXPECT_THAT(std::string(s.status().message()),
              AllOf(HasSubstr("--json"), HasSubstr("--plan_out")));
  EXPECT_TRUE(
      Parse({"--json=/dev/null", "--trace_out=/dev/null"}, SmallPreset()).ok());
}

TEST(SettingsTest, TheRateRisesBeforeItFalls) {
  Preset preset = SmallPreset();
  preset.lr_warmup = 10;
  preset.warmup = 2;
  preset.lr_decay = true;
  EXPECT_THAT(std::string(Parse({"--steps=8"}, preset).status().message()),
              AllOf(HasSubstr("--lr_warmup=10"), HasSubstr("10 steps")));
  EXPECT_TRUE(Parse({"--steps=9"}, preset).ok());
  EXPECT_TRUE(Parse({"--steps=8", "--nolr_decay"}, preset).ok());
}

TEST(SettingsTest, AMeshArrangesTheDevices) {
  const auto s = Parse(
      {"--devices=cpu:4", "--mesh=node:2,device:2", "--pin=head.weight:B,S(0)"},
      SmallPreset());
  ASSERT_TRUE(s.ok()) << s.status();
  ASSERT_EQ(s->mesh.size(), 2u);
  EXPECT_EQ(s->mesh[0].name, "node");
  EXPECT_EQ(s->mesh[1].size, 2);
  EXPECT_EQ(s->pins.at("head.weight"),
            (ops::NdSbp{ops::Sbp::B(), ops::Sbp::S(0)}));
  // --devices=auto: as many as the mesh has.
  EXPECT_EQ(Parse({"--devices=auto", "--mesh=a:3,b:2"}, SmallPreset())->devices,
            6);
  auto error = [](std::vector<std::string> args) {
    return std::string(Parse(args, SmallPreset()).status().message());
  };
  EXPECT_THAT(error({"--devices=cpu:4", "--mesh=a:3,b:2"}),
              AllOf(HasSubstr("6 places"), HasSubstr("4 devices")));
  EXPECT_THAT(error({"--mesh=a:0"}), HasSubstr("--mesh=a:0"));
  EXPECT_THAT(error({"--mesh=a:2,a:2"}), HasSubstr("two axes are named a"));
  EXPECT_THAT(error({"--mesh=2x2"}), HasSubstr("node:4,device:8"));
  EXPECT_THAT(error({"--mesh=a:2,b:2", "--pin=head.weight:B"}),
              HasSubstr("the mesh has 2 axes"));
}

TEST(SettingsTest, TwoPinsOfATensorMustAgree) {
  const auto s = Parse({"--pin=a.weight:S(0);a.weight:B"}, SmallPreset());
  EXPECT_THAT(std::string(s.status().message()),
              AllOf(HasSubstr("--pin="), HasSubstr("a.weight"),
                    HasSubstr("S(0) and B")));
  EXPECT_TRUE(Parse({"--pin=a:B;a:B"}, SmallPreset()).ok());
}

}  // namespace
}  // namespace facet::benchmarks
