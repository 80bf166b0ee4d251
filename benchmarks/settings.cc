#include "benchmarks/settings.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "benchmarks/local_devices.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ops/status_macros.h"
#include "placement/tool/flag_values.h"

DEFINE_int64(steps, -1, "Steps that are measured.");
DEFINE_int64(warmup, -1, "Steps before them that are not measured.");
DEFINE_int64(seed, 0, "Seed of initial weights, synthetic data, shuffling.");
DEFINE_bool(lr_decay, false,
            "Let the learning rate fall linearly to 0 at the last step.");
DEFINE_string(data, "",
              "synthetic, or a folder with one sub-folder of photographs "
              "(.pgm, .png, .jpg) per person.");
DEFINE_int64(max_shift, 0,
             "With --data=PATH: photographs are moved at random by up to so "
             "many pixels in both directions, besides being mirrored.");
DEFINE_int64(held_out, 2,
             "With --data=PATH, for faces: the last so many photographs of "
             "each person are not trained on but tested with.");
DEFINE_bool(keep_going, false,
            "Do not stop when the loss is not a finite number.");
DEFINE_bool(check_finite, false,
            "If the loss is not a finite number, say where the first such "
            "value came from: after every task all that it wrote is looked "
            "at, which is slow (on GPUs very). Without it some small tensors "
            "are, on CPUs.");
DEFINE_bool(limits, false,
            "Besides, measure matrix product, convolution and copy in "
            "isolation, and print how near each phase comes to them and where "
            "the rest goes.");
DEFINE_bool(cuda_graph, false,
            "CUDA devices: from the second step on, replay what is the same in "
            "every step as CUDA graphs, so that the host has less to do. Then "
            "the report does not say how long the phases take.");
DEFINE_string(conv, "auto",
              "How convolutions, and on GPUs other products, are computed. "
              "auto: each as is measured to be the fastest here, once; the "
              "times are kept in "
              "${XDG_CACHE_HOME:-~/.cache}/facet. rule: on CPUs by Winograd's "
              "algorithm where it saves a third of the multiplications, on "
              "GPUs by what cuDNN's heuristics name first; nothing is "
              "measured, so that the plan is the same everywhere. On CPUs "
              "only: direct; winograd, where it can be used.");
DEFINE_string(plan_out, "",
              "Write the plan to this file: .pb (protobuf), .txt or .json.");
DEFINE_string(trace_out, "",
              "Write a timeline for Perfetto or chrome://tracing to this "
              "file.");
DEFINE_string(checkpoint, "",
              "Write all variables (weights, momentum, statistics) to this "
              "file at the end, in the safetensors format, with the names of "
              "arcface_torch. A file of that name is replaced when the new "
              "one is whole.");
DEFINE_int64(checkpoint_every, 0,
             "Besides, write it whenever so many steps have been done.");
DEFINE_string(resume, "",
              "Go on from this checkpoint: with the same flags to the bit as "
              "if the training had not ended. --steps counts from there.");
DEFINE_string(json, "", "Write the results to this file, for programs.");

namespace facet::benchmarks {
namespace {

using placement::InvalidFlag;
using placement::IsDevicePath;
using placement::OutputPath;
using placement::UserPath;

// The later one would replace the earlier.
absl::Status CheckOutputsDiffer(const Settings& s) {
  std::map<std::string, const char*> flags;
  for (const auto& [flag, path] : {std::make_pair("plan_out", &s.plan_out),
                                   std::make_pair("trace_out", &s.trace_out),
                                   std::make_pair("checkpoint", &s.checkpoint),
                                   std::make_pair("json", &s.json)}) {
    if (path->empty() || IsDevicePath(*path)) continue;
    const auto [it, is_new] = flags.emplace(*path, flag);
    if (!is_new) {
      return InvalidFlag(flag, *path,
                         absl::StrCat("this is the file of --", it->second,
                                      " too; give another name"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRanges(const Settings& s) {
  struct Count {
    const char* flag;
    int64_t value, least, most;
  };
  for (const Count& c : {Count{"steps", s.steps, 1, int64_t{1} << 40},
                         Count{"warmup", s.warmup, 0, int64_t{1} << 40},
                         Count{"max_shift", s.max_shift, 0, 111},
                         Count{"held_out", s.held_out, 1, 1 << 20}}) {
    if (c.value < c.least || c.value > c.most) {
      return InvalidFlag(c.flag, absl::StrCat(c.value),
                         absl::StrCat("use ", c.least, " to ", c.most));
    }
  }
  if (s.steps < s.accumulate) {
    return InvalidFlag("accumulate", absl::StrCat(s.accumulate),
                       absl::StrCat("in ", s.steps,
                                    " steps (--steps) nothing is updated; use "
                                    "at least as many"));
  }
  if (s.lr_decay && s.resume.empty() && s.lr_warmup >= s.warmup + s.steps) {
    return InvalidFlag(
        "lr_warmup", absl::StrCat(s.lr_warmup),
        absl::StrCat("the rise must end before the last of the ",
                     s.warmup + s.steps,
                     " steps (--warmup and --steps); use fewer, more steps or "
                     "--nolr_decay"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Settings> ParseSettings(int* argc, char*** argv,
                                       const Preset& preset,
                                       runtime::ProcessGroup* processes) {
  gflags::SetUsageMessage(preset.usage);
  auto set_default = [](const char* flag, const std::string& value) {
    CHECK(!gflags::SetCommandLineOptionWithMode(flag, value.c_str(),
                                                gflags::SET_FLAGS_DEFAULT)
               .empty())
        << flag;
  };
  set_default("classes", absl::StrCat(preset.classes));
  set_default("network", preset.network);
  set_default("batch_size", absl::StrCat(preset.batch_size));
  set_default("steps", absl::StrCat(preset.steps));
  set_default("warmup", absl::StrCat(preset.warmup));
  set_default("lr", absl::StrCat(preset.learning_rate));
  set_default("lr_warmup", absl::StrCat(preset.lr_warmup));
  set_default("lr_decay", preset.lr_decay ? "true" : "false");
  set_default("margin", preset.margin);
  set_default("data", preset.data);
  set_default("max_shift", absl::StrCat(preset.max_shift));
  set_default("sync_bn", preset.sync_bn ? "true" : "false");
  gflags::ParseCommandLineFlags(argc, argv, /*remove_flags=*/true);
  if (*argc > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", (*argv)[1],
                     "\": all arguments are flags (--name=value); --help "
                     "lists them"));
  }

  Settings s;
  s.program = preset.program;
  ASSIGN_OR_RETURN(const placement::DeviceChoice auto_devices,
                   AutoDevices(processes));
  ASSIGN_OR_RETURN(static_cast<placement::Request&>(s),
                   placement::RequestFromFlags(auto_devices));
  if (!s.hardware.empty()) {
    return InvalidFlag("devices", absl::StrCat(s.hardware, ":", s.devices),
                       "is hardware that plans can be made for (`plan show`), "
                       "but nothing runs on here; use auto, cpu:N or cuda:N");
  }
  s.steps = FLAGS_steps;
  s.warmup = FLAGS_warmup;
  s.seed = FLAGS_seed;
  s.lr_decay = FLAGS_lr_decay;
  s.data = FLAGS_data == "synthetic" ? FLAGS_data : UserPath(FLAGS_data);
  if (s.data.empty()) {
    return absl::InvalidArgumentError(
        "--data=PATH is needed: a folder with one sub-folder of photographs "
        "per person, or synthetic");
  }
  if (s.classes == 0 && s.data == "synthetic") {
    return InvalidFlag("classes", "0",
                       "synthetic data needs a number of classes");
  }
  s.max_shift = FLAGS_max_shift;
  s.keep_going = FLAGS_keep_going;
  s.limits = FLAGS_limits;
  if (s.limits && s.device_kind != "cpu") {
    return InvalidFlag(
        "limits", "true",
        absl::StrCat("what ", s.device_kind,
                     " devices do in isolation is not measured "
                     "yet; leave it out, or use --devices=cpu:N"));
  }
  s.cuda_graph = FLAGS_cuda_graph;
  if (s.cuda_graph && s.device_kind != "cuda") {
    return InvalidFlag("cuda_graph", "true",
                       "only CUDA devices have graphs; leave it out, or use "
                       "--devices=cuda:N");
  }
  s.check_finite = FLAGS_check_finite;
  if (s.check_finite && s.cuda_graph) {
    return InvalidFlag("check_finite", "true",
                       "with --cuda_graph there is no time between tasks to "
                       "look at what they wrote; leave one of them out");
  }
  s.held_out = FLAGS_held_out;
  s.conv = FLAGS_conv;
  if (s.conv != "auto" && s.conv != "direct" && s.conv != "winograd" &&
      s.conv != "rule") {
    return InvalidFlag("conv", s.conv, "use auto, direct, winograd or rule");
  }
  if (s.device_kind == "cuda" && (s.conv == "direct" || s.conv == "winograd")) {
    return InvalidFlag(
        "conv", s.conv,
        "CUDA devices have cuDNN's algorithms: use auto or rule");
  }
  ASSIGN_OR_RETURN(s.plan_out, placement::PlanOutputPath(FLAGS_plan_out));
  ASSIGN_OR_RETURN(s.checkpoint, OutputPath("checkpoint", FLAGS_checkpoint));
  s.checkpoint_every = FLAGS_checkpoint_every;
  if (s.checkpoint_every < 0) {
    return InvalidFlag("checkpoint_every", absl::StrCat(s.checkpoint_every),
                       "use 0 or more");
  }
  if (s.checkpoint_every > 0 && s.checkpoint.empty()) {
    return InvalidFlag("checkpoint_every", absl::StrCat(s.checkpoint_every),
                       "has no effect without --checkpoint=FILE; add it");
  }
  s.resume = placement::UserPath(FLAGS_resume);
  ASSIGN_OR_RETURN(s.trace_out, OutputPath("trace_out", FLAGS_trace_out));
  ASSIGN_OR_RETURN(s.json, OutputPath("json", FLAGS_json));
  RETURN_IF_ERROR(CheckOutputsDiffer(s));
  RETURN_IF_ERROR(CheckRanges(s));
  if (processes != nullptr && processes->rank() != 0) {
    for (std::string* path : {&s.plan_out, &s.trace_out, &s.json}) {
      path->clear();
    }
    s.dump_passes.clear();
  }
  return s;
}

}  // namespace facet::benchmarks
