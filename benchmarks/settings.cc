#include "benchmarks/settings.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "models/iresnet.h"
#include "ops/status_macros.h"
#include "runtime/device/cpu_device.h"

DEFINE_bool(fp16, false,
            "Compute in half precision, as the device does it best: bfloat16 "
            "on CPUs. The first line of output says which.");
DEFINE_string(half_type, "auto",
              "With --fp16: which half precision: auto, float16 (with dynamic "
              "loss scaling) or bfloat16.");
DEFINE_string(devices, "auto",
              "Devices to run on: cpu:N for N CPU devices in this process, "
              "each with its share of the cores. auto: one per core, at least "
              "2 and at most 8.");
DEFINE_int64(classes, -1,
             "Number of identities (classes of the head). With --data=PATH "
             "0 means as many as the folder has people.");
DEFINE_string(network, "", "Backbone: r18, r34, r50, r100 or r200.");
DEFINE_int64(batch_size, -1,
             "Images per step, over all devices together. 0: 16 per device.");
DEFINE_int64(steps, -1, "Steps that are measured.");
DEFINE_int64(warmup, -1, "Steps before them that are not measured.");
DEFINE_int64(seed, 0, "Seed of initial weights, synthetic data, shuffling.");
DEFINE_double(lr, -1,
              "Learning rate (at 1,024 images a step arcface_torch "
              "uses 0.1).");
DEFINE_int64(lr_warmup, -1,
             "Steps over which the learning rate rises to --lr.");
DEFINE_string(lr_warmup_style, "ramp",
              "ramp: the rise begins with the first step; as_arcface_torch: "
              "with the second, the first is at the full rate.");
DEFINE_bool(lr_decay, false,
            "Let the learning rate fall linearly to 0 at the last step.");
DEFINE_double(momentum, 0.9, "Momentum of SGD.");
DEFINE_double(weight_decay, 5e-4, "Weight decay, of all parameters.");
DEFINE_double(clip_norm, 5, "Largest norm of the backbone's gradient; 0: any.");
DEFINE_double(dropout, 0, "Dropout before the last linear layer.");
DEFINE_bool(sync_bn, false,
            "Batch norm over the whole batch instead of per device: then any "
            "number of devices trains the same up to rounding.");
DEFINE_string(margin, "",
              "Margin of the loss: arcface (1,0.5,0), cosface (1,0,0.4) or "
              "m1,m2,m3 for cos(m1*theta + m2) - m3.");
DEFINE_string(margin_gradient, "as_arcface_torch",
              "Derivative of the margin: as_arcface_torch (1, as the peer "
              "does) or exact.");
DEFINE_string(data, "",
              "synthetic, or a folder with one sub-folder of photographs "
              "(.pgm, .png, .jpg) per person.");
DEFINE_int64(held_out, 2,
             "With --data=PATH, for faces: the last so many photographs of "
             "each person are not trained on but tested with.");
DEFINE_string(fuse, "auto",
              "auto: the compiler uses fused operators where they cost less; "
              "none: never.");
DEFINE_string(pin, "",
              "Force the SBP of tensors: \"tensor:S(0)\"; several separated by "
              "semicolons. --dump_passes shows the tensors' names.");
DEFINE_bool(keep_going, false,
            "Do not stop when the loss is not a finite number.");
DEFINE_string(plan_out, "",
              "Write the plan to this file: .pb (protobuf), .txt or .json.");
DEFINE_string(trace_out, "",
              "Write a timeline for Perfetto or chrome://tracing to this "
              "file.");
DEFINE_string(json, "", "Write the results to this file, for programs.");
DEFINE_string(dump_passes, "",
              "Write the graph after each compiler pass into this folder.");

namespace facet::benchmarks {
namespace {

absl::Status Invalid(absl::string_view flag, absl::string_view value,
                     absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": ", allowed));
}

// Where the user stands: `bazel run` changes the directory.
std::string AbsolutePath(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  const std::filesystem::path base = directory != nullptr
                                         ? std::filesystem::path(directory)
                                         : std::filesystem::current_path();
  return (base / path).lexically_normal().string();
}

// /dev/stdout, a pipe.
bool IsDevice(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) &&
         !std::filesystem::is_regular_file(path, error);
}

// Of a program's result files: a folder that is not there, or not ours to write
// to, should fail before the run and not after it.
absl::StatusOr<std::string> OutputPath(absl::string_view flag,
                                       const std::string& path) {
  const std::string absolute = AbsolutePath(path);
  if (absolute.empty()) return absolute;
  const std::filesystem::path folder =
      std::filesystem::path(absolute).parent_path();
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return Invalid(flag, path,
                   absl::StrCat("there is no folder ", folder.string()));
  }
  if (std::filesystem::is_directory(absolute, error)) {
    return Invalid(flag, path, "this is a folder, a file name is needed");
  }
  // A file is replaced, which is the folder's business; a device is not.
  const bool device = IsDevice(absolute);
  if (eaccess(device ? absolute.c_str() : folder.c_str(), W_OK) != 0) {
    return Invalid(
        flag, path,
        absl::StrCat("cannot write to ", device ? absolute : folder.string(),
                     ": ", strerror(errno)));
  }
  return absolute;
}

// The later one would replace the earlier.
absl::Status CheckOutputsDiffer(const Settings& s) {
  std::map<std::string, const char*> flags;
  for (const auto& [flag, path] : {std::make_pair("plan_out", &s.plan_out),
                                   std::make_pair("trace_out", &s.trace_out),
                                   std::make_pair("json", &s.json)}) {
    if (path->empty() || IsDevice(*path)) continue;
    const auto [it, is_new] = flags.emplace(*path, flag);
    if (!is_new) {
      return Invalid(flag, *path,
                     absl::StrCat("this is the file of --", it->second,
                                  " too; give another name"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ParseDevices(const std::string& text) {
  if (text == "auto") return std::clamp(runtime::AvailableCores(), 2, 8);
  absl::string_view rest = text;
  int count = 0;
  if (absl::ConsumePrefix(&rest, "cuda:")) {
    return Invalid("devices", text, "this build runs on CPUs only; use cpu:N");
  }
  if (absl::ConsumePrefix(&rest, "cpu:") && absl::SimpleAtoi(rest, &count) &&
      count >= 1 && count <= 1024) {
    return count;
  }
  return Invalid("devices", text,
                 "use auto or cpu:N with N from 1 to 1024 devices");
}

absl::StatusOr<std::optional<ops::DataType>> ParseHalf(
    bool fp16, const std::string& type) {
  if (type != "auto" && type != "float16" && type != "bfloat16") {
    return Invalid("half_type", type, "use auto, float16 or bfloat16");
  }
  if (!fp16) {
    if (type == "auto") return std::nullopt;
    return Invalid("half_type", type, "has no effect without --fp16; add it");
  }
  return type == "float16" ? ops::DataType::kFloat16 : ops::DataType::kBFloat16;
}

absl::StatusOr<std::map<std::string, ops::Sbp>> ParsePins(
    const std::string& text) {
  std::map<std::string, ops::Sbp> pins;
  for (absl::string_view pin : absl::StrSplit(text, ';', absl::SkipEmpty())) {
    // The last colon: tensor names may have some (":1" is a second output).
    const size_t colon = pin.rfind(':');
    if (colon == absl::string_view::npos || colon == 0) {
      return Invalid("pin", pin, "use tensor:SBP, such as head.weight:S(0)");
    }
    absl::StatusOr<ops::Sbp> sbp = ops::ParseSbp(pin.substr(colon + 1));
    if (!sbp.ok()) return Invalid("pin", pin, sbp.status().message());
    const std::string tensor(pin.substr(0, colon));
    if (!pins.emplace(tensor, *sbp).second && pins[tensor] != *sbp) {
      return Invalid(
          "pin", text,
          absl::StrCat(tensor, " is pinned twice, to ", pins[tensor].ToString(),
                       " and ", sbp->ToString(), "; use one of them"));
    }
  }
  return pins;
}

absl::Status CheckRanges(const Settings& s) {
  struct Count {
    const char* flag;
    int64_t value, least, most;
  };
  for (const Count& c : {Count{"classes", s.classes, 0, INT32_MAX},
                         Count{"batch_size", s.batch_size, 1, 1 << 24},
                         Count{"steps", s.steps, 1, int64_t{1} << 40},
                         Count{"warmup", s.warmup, 0, int64_t{1} << 40},
                         Count{"lr_warmup", s.lr_warmup, 0, int64_t{1} << 40},
                         Count{"held_out", s.held_out, 1, 1 << 20}}) {
    if (c.value < c.least || c.value > c.most) {
      return Invalid(c.flag, absl::StrCat(c.value),
                     absl::StrCat("use ", c.least, " to ", c.most));
    }
  }
  if (s.classes == 1) {
    return Invalid("classes", "1",
                   "one class cannot be told apart; use 2 or "
                   "more");
  }
  if (s.batch_size < s.devices) {
    return Invalid("batch_size", absl::StrCat(s.batch_size),
                   absl::StrCat("fewer images in a step than the ", s.devices,
                                " devices; use at least ", s.devices,
                                " or fewer --devices"));
  }
  if (s.classes > 0 && s.classes < s.devices) {
    return Invalid("classes", absl::StrCat(s.classes),
                   absl::StrCat("fewer classes than the ", s.devices,
                                " devices; use fewer --devices"));
  }
  if (s.lr_decay && s.lr_warmup >= s.warmup + s.steps) {
    return Invalid(
        "lr_warmup", absl::StrCat(s.lr_warmup),
        absl::StrCat("the rise must end before the last of the ",
                     s.warmup + s.steps,
                     " steps (--warmup and --steps); use fewer, more steps or "
                     "--nolr_decay"));
  }
  struct Real {
    const char* flag;
    double value, least, most;
  };
  for (const Real& r : {Real{"lr", s.learning_rate, 0, 1e30},
                        Real{"momentum", s.momentum, 0, 1},
                        Real{"weight_decay", s.weight_decay, 0, 1},
                        Real{"clip_norm", s.clip_norm, 0, 1e30},
                        Real{"dropout", s.dropout, 0, 0.99}}) {
    if (!(r.value >= r.least && r.value <= r.most)) {
      return Invalid(r.flag, absl::StrCat(r.value),
                     absl::StrCat("use ", r.least, " to ", r.most));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Settings> ParseSettings(int* argc, char*** argv,
                                       const Preset& preset) {
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
  gflags::ParseCommandLineFlags(argc, argv, /*remove_flags=*/true);
  if (*argc > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", (*argv)[1],
                     "\": all arguments are flags (--name=value); --help "
                     "lists them"));
  }

  Settings s;
  s.program = preset.program;
  ASSIGN_OR_RETURN(s.devices, ParseDevices(FLAGS_devices));
  ASSIGN_OR_RETURN(s.half, ParseHalf(FLAGS_fp16, FLAGS_half_type));
  s.network = FLAGS_network;
  if (absl::Status known = models::IResNetLayers(s.network).status();
      !known.ok()) {
    return Invalid("network", s.network, known.message());
  }
  s.classes = FLAGS_classes;
  s.batch_size = FLAGS_batch_size == 0 ? 16 * s.devices : FLAGS_batch_size;
  s.steps = FLAGS_steps;
  s.warmup = FLAGS_warmup;
  s.seed = FLAGS_seed;
  s.learning_rate = FLAGS_lr;
  s.lr_warmup = FLAGS_lr_warmup;
  s.lr_warmup_style = FLAGS_lr_warmup_style;
  if (s.lr_warmup_style != "ramp" && s.lr_warmup_style != "as_arcface_torch") {
    return Invalid("lr_warmup_style", s.lr_warmup_style,
                   "use ramp or as_arcface_torch");
  }
  s.lr_decay = FLAGS_lr_decay;
  s.momentum = FLAGS_momentum;
  s.weight_decay = FLAGS_weight_decay;
  s.clip_norm = FLAGS_clip_norm;
  s.dropout = FLAGS_dropout;
  s.sync_bn = FLAGS_sync_bn;
  if (absl::StatusOr<models::Margin> margin = models::ParseMargin(FLAGS_margin);
      margin.ok()) {
    s.margin = *margin;
  } else {
    return Invalid("margin", FLAGS_margin, margin.status().message());
  }
  s.margin_gradient = FLAGS_margin_gradient;
  if (s.margin_gradient != "as_arcface_torch" && s.margin_gradient != "exact") {
    return Invalid("margin_gradient", s.margin_gradient,
                   "use as_arcface_torch or exact");
  }
  s.data = FLAGS_data == "synthetic" ? FLAGS_data : AbsolutePath(FLAGS_data);
  if (s.data.empty()) {
    return absl::InvalidArgumentError(
        "--data=PATH is needed: a folder with one sub-folder of photographs "
        "per person, or synthetic");
  }
  if (s.classes == 0 && s.data == "synthetic") {
    return Invalid("classes", "0", "synthetic data needs a number of classes");
  }
  if (FLAGS_fuse != "auto" && FLAGS_fuse != "none") {
    return Invalid("fuse", FLAGS_fuse, "use auto or none");
  }
  s.fuse = FLAGS_fuse == "auto";
  s.keep_going = FLAGS_keep_going;
  ASSIGN_OR_RETURN(s.pins, ParsePins(FLAGS_pin));
  s.held_out = FLAGS_held_out;
  ASSIGN_OR_RETURN(s.plan_out, OutputPath("plan_out", FLAGS_plan_out));
  ASSIGN_OR_RETURN(s.trace_out, OutputPath("trace_out", FLAGS_trace_out));
  ASSIGN_OR_RETURN(s.json, OutputPath("json", FLAGS_json));
  RETURN_IF_ERROR(CheckOutputsDiffer(s));
  s.dump_passes = AbsolutePath(FLAGS_dump_passes);
  RETURN_IF_ERROR(CheckRanges(s));
  return s;
}

}  // namespace facet::benchmarks
