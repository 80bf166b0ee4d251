// Measures what operators reach on this machine's cores, and writes it as the
// profile that the cost model reads. Trains IResNet-34 with 250,000 classes for
// a few steps in float32 and in bfloat16: neither the network nor the head is
// one of those that are reported, so that predictions of them are predictions.
//
//   bazel run //benchmarks:calibrate --
//   --out=placement/simulate/hardware/cpu.txtpb
//
// (2 minutes; nothing else should run.) Build again to use it.

#include <cstdio>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmarks/hardware.h"
#include "benchmarks/op_rates.h"
#include "benchmarks/settings.h"
#include "benchmarks/training_run.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "google/protobuf/text_format.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "placement/simulate/hardware.pb.h"
#include "placement/tool/flag_values.h"

DEFINE_string(out, "", "Write the profile to this file; default: print it.");

namespace facet::benchmarks {
namespace {

absl::Status AppendSamples(Settings settings,
                           std::vector<TaskSample>* samples) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TrainingRun> run,
                   TrainingRun::Create(settings, {}, nullptr));
  RETURN_IF_ERROR(run->Train().status());
  ASSIGN_OR_RETURN(const std::vector<TaskSample> more,
                   TaskSamples(run->plan(), run->timeline(), settings.warmup,
                               settings.warmup + settings.steps));
  samples->insert(samples->end(), more.begin(), more.end());
  return absl::OkStatus();
}

std::string ProfileText(const placement::Hardware& hardware) {
  std::string fields;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseShortRepeatedPrimitives(true);
  CHECK(printer.PrintToString(hardware, &fields));
  return absl::StrCat(
      "# One core of a CPU. Written by\n"
      "#   bazel run //benchmarks:calibrate -- "
      "--out=placement/simulate/hardware/cpu.txtpb\n"
      "# on ",
      CpuDescription(), ", ",
      absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone()),
      ".\n"
      "# The peaks are what benchmarks/hardware.cc finds on the machine that "
      "a\n"
      "# program runs on (clock, vector width, a copy of memory by one "
      "thread);\n"
      "# the rates are parts of them. Above 1: work that stays in caches, or\n"
      "# half precision, whose peak is taken to be float32's.\n",
      fields);
}

absl::Status Calibrate(int argc, char** argv) {
  Preset preset;
  preset.program = "calibrate";
  preset.usage = "Measures what operators reach of this machine's peak.";
  preset.network = "r34";
  preset.classes = 250000;
  preset.steps = 3;
  ASSIGN_OR_RETURN(Settings settings, ParseSettings(&argc, &argv, preset));
  ASSIGN_OR_RETURN(const std::string out,
                   placement::OutputPath("out", FLAGS_out));
  std::vector<TaskSample> samples;
  settings.half = std::nullopt;
  RETURN_IF_ERROR(AppendSamples(settings, &samples));
  settings.half = ops::DataType::kBFloat16;
  RETURN_IF_ERROR(AppendSamples(settings, &samples));

  placement::Hardware core = LocalCpuCore();
  const std::vector<placement::OpRates> rates =
      FitOpRates(samples, core, CoresOfDevice(settings.devices, 0));
  core.clear_rates();
  for (const placement::OpRates& r : rates) *core.add_rates() = r;
  const std::string text = ProfileText(core);
  if (out.empty()) {
    std::printf("\n%s", text.c_str());
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(placement::WriteFileAtomically(out, text));
  std::printf("\nwrote %s\n", out.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  const absl::Status status = facet::benchmarks::Calibrate(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "calibrate: error: %s\n",
               std::string(status.message()).c_str());
  return 1;
}
