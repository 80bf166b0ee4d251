#include "placement/tool/request.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gflags/gflags.h"
#include "models/iresnet.h"
#include "ops/status_macros.h"
#include "placement/simulate/hardware.h"
#include "placement/tool/flag_values.h"

DEFINE_bool(fp16, false,
            "Compute in half precision, as the device does it best: bfloat16 "
            "on CPUs. The first line of output says which.");
DEFINE_string(half_type, "auto",
              "With --fp16: which half precision: auto, float16 (with dynamic "
              "loss scaling) or bfloat16.");
DEFINE_string(tf32, "auto",
              "Which products of float32 a GPU may compute with factors that "
              "are rounded to TF32's 11 bits, on tensor cores if it has them: "
              "none, convolutions or all. auto: convolutions, as in PyTorch; "
              "all with --fp16.");
DEFINE_string(devices, "auto",
              "Devices to run on: cpu:N for N CPU devices in this process, "
              "each with its share of the cores. auto: one per core, at least "
              "2 and at most 8. Plans can also be made for hardware that is "
              "not here, by name: v100_sxm2_32gb:8.");
DEFINE_string(mesh, "",
              "How the devices are arranged: named axes with their sizes, "
              "outermost first, such as node:4,device:8. A tensor then has an "
              "SBP along each. Empty: one axis of all devices.");
DEFINE_int64(classes, 2000000,
             "Number of identities (classes of the head). With --data=PATH "
             "0 means as many as the folder has people.");
DEFINE_string(network, "r50", "Backbone: r18, r34, r50, r100 or r200.");
DEFINE_int64(batch_size, 0,
             "Images per step, over all devices together. 0: 16 per device.");
DEFINE_int64(accumulate, 1,
             "Steps whose mean gradient makes one update of the weights: as if "
             "the batch were so many times as large, but for batch norm, whose "
             "statistics are of one step. The other flags count steps, not "
             "updates.");
DEFINE_double(lr, 0.1,
              "Learning rate (at 1,024 images a step arcface_torch "
              "uses 0.1).");
DEFINE_int64(lr_warmup, 0, "Steps over which the learning rate rises to --lr.");
DEFINE_string(lr_warmup_style, "ramp",
              "ramp: the rise begins with the first step; as_arcface_torch: "
              "with the second, the first is at the full rate.");
DEFINE_double(momentum, 0.9, "Momentum of SGD.");
DEFINE_double(weight_decay, 5e-4, "Weight decay, of all parameters.");
DEFINE_double(clip_norm, 5, "Largest norm of the backbone's gradient; 0: any.");
DEFINE_double(dropout, 0, "Dropout before the last linear layer.");
DEFINE_bool(sync_bn, false,
            "Batch norm over the whole batch instead of per device: then any "
            "number of devices trains the same up to rounding.");
DEFINE_string(margin, "arcface",
              "Margin of the loss: arcface (1,0.5,0), cosface (1,0,0.4) or "
              "m1,m2,m3 for cos(m1*theta + m2) - m3.");
DEFINE_string(margin_gradient, "as_arcface_torch",
              "Derivative of the margin: as_arcface_torch (1, as the peer "
              "does) or exact.");
DEFINE_double(partial_fc, 1,
              "Partial FC: part of the classes that takes part in a step, from "
              "0 (the classes of the batch alone) to 1 (all).");
DEFINE_string(partial_fc_update, "sampled",
              "With --partial_fc below 1: sampled: the other classes stay as "
              "they are; dense: weight decay and momentum act on them, too, as "
              "in arcface_torch.");
DEFINE_string(weight_type, "float32",
              "How the head's class weights, most of the model, are stored: "
              "float32, or bfloat16 with stochastic rounding in half the "
              "memory. Steps are computed in float32; the backbone's weights "
              "stay float32.");
DEFINE_string(momentum_type, "float32",
              "The same for the momentum of the class weights.");
DEFINE_string(fuse, "auto",
              "auto: the compiler uses fused operators where they cost less; "
              "none: never.");
DEFINE_string(
    recompute, "auto",
    "Which activations are computed again in the backward pass "
    "instead of being kept for it, the head's cosines (a group of "
    "classes at a time) among them: none; auto: none if the memory is "
    "enough, else what takes least time (together with "
    "--split_parameters); all that can be.");
DEFINE_string(split_parameters, "auto",
              "Which weights that every device would have whole are shared out "
              "among the devices, with their momentum (ZeRO), and gathered for "
              "each step: none; auto: none if the memory is enough, else what "
              "takes least time; all that have as many rows as there are "
              "devices.");
DEFINE_string(
    pin, "",
    "Force the SBP of tensors: \"tensor:S(0)\", on a mesh of two axes "
    "\"tensor:S(0),B\"; several separated by semicolons. `plan show --unfold` "
    "lists the tensors' names.");
DEFINE_string(dump_passes, "",
              "Write the graph after each compiler pass into this folder.");

namespace facet::placement {
namespace {

absl::Status ParseDevices(const std::string& text,
                          const DeviceChoice& auto_devices, Request* request) {
  if (text == "auto") {
    request->device_kind = auto_devices.kind;
    request->devices = auto_devices.count;
    return absl::OkStatus();
  }
  const std::vector<std::string> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const bool is_local = parts[0] == "cpu" || parts[0] == "cuda";
  std::vector<std::string> names = HardwareNames();
  names.erase(std::remove(names.begin(), names.end(), "cpu"), names.end());
  const bool known = is_local || std::find(names.begin(), names.end(),
                                           parts[0]) != names.end();
  if (!known || parts.size() < 2 ||
      !absl::SimpleAtoi(parts[1], &request->devices) || request->devices < 1 ||
      request->devices > 1024) {
    return InvalidFlag(
        "devices", text,
        absl::StrCat("use auto, cpu:N, cuda:N or, to make plans only, one of ",
                     absl::StrJoin(names, ", "),
                     " as NAME:N, with N from 1 to 1024 devices"));
  }
  (is_local ? request->device_kind : request->hardware) = parts[0];
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ops::DataType>> ParseHalf(bool fp16,
                                                       const std::string& type,
                                                       bool gpu) {
  if (type != "auto" && type != "float16" && type != "bfloat16") {
    return InvalidFlag("half_type", type, "use auto, float16 or bfloat16");
  }
  if (!fp16) {
    if (type == "auto") return std::nullopt;
    return InvalidFlag("half_type", type,
                       "has no effect without --fp16; add it");
  }
  return type == "float16" || (type == "auto" && gpu)
             ? ops::DataType::kFloat16
             : ops::DataType::kBFloat16;
}

absl::StatusOr<Rounding> ParseRounding(const std::string& text, bool half) {
  if (text == "auto") return half ? Rounding::kAll : Rounding::kConvolutions;
  for (const Rounding rounding :
       {Rounding::kNone, Rounding::kConvolutions, Rounding::kAll}) {
    if (text == RoundingName(rounding)) return rounding;
  }
  return InvalidFlag("tf32", text, "use auto, none, convolutions or all");
}

absl::StatusOr<Splitting> ParseSplitting(const std::string& text) {
  for (const Splitting splitting :
       {Splitting::kNone, Splitting::kAuto, Splitting::kAll}) {
    if (text == SplittingName(splitting)) return splitting;
  }
  return InvalidFlag("split_parameters", text, "use auto, none or all");
}

absl::StatusOr<Recomputing> ParseRecomputing(const std::string& text) {
  for (const Recomputing recomputing :
       {Recomputing::kNone, Recomputing::kAuto, Recomputing::kAll}) {
    if (text == RecomputingName(recomputing)) return recomputing;
  }
  return InvalidFlag("recompute", text, "use auto, none or all");
}

absl::StatusOr<ops::DataType> ParseStored(const char* flag,
                                          const std::string& type) {
  if (type == "float32") return ops::DataType::kFloat32;
  if (type == "bfloat16") return ops::DataType::kBFloat16;
  return InvalidFlag(flag, type, "use float32 or bfloat16");
}

// "node:4,device:8".
absl::StatusOr<std::vector<AxisSize>> ParseMesh(const std::string& text) {
  std::vector<AxisSize> axes;
  std::set<std::string> names;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<std::string> name_size = absl::StrSplit(part, ':');
    AxisSize axis;
    if (name_size.size() != 2 || name_size[0].empty() ||
        !absl::SimpleAtoi(name_size[1], &axis.size) || axis.size < 1 ||
        axis.size > 1024) {
      return InvalidFlag("mesh", text,
                         "use name:size,name:size with sizes from 1 to 1024, "
                         "outermost first, such as node:4,device:8");
    }
    axis.name = name_size[0];
    if (!names.insert(axis.name).second) {
      return InvalidFlag("mesh", text,
                         absl::StrCat("two axes are named ", axis.name));
    }
    axes.push_back(std::move(axis));
  }
  if (axes.size() > 3) {
    return InvalidFlag("mesh", text, "at most 3 axes");
  }
  return axes;
}

// Sets mesh, and devices where --devices leaves their number open.
absl::Status ArrangeDevices(const std::string& mesh, bool auto_devices,
                            Request* request) {
  if (mesh.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(request->mesh, ParseMesh(mesh));
  int64_t places = 1;
  for (const AxisSize& axis : request->mesh) places *= axis.size;
  if (auto_devices && places <= 1024) {
    request->devices = static_cast<int>(places);
  }
  if (places == request->devices) return absl::OkStatus();
  return InvalidFlag(
      "mesh", mesh,
      absl::StrCat("it has ", places, " places, --devices names ",
                   request->devices, " devices; make the two agree"));
}

absl::StatusOr<std::map<std::string, ops::NdSbp>> ParsePins(
    const std::string& text) {
  std::map<std::string, ops::NdSbp> pins;
  for (absl::string_view pin : absl::StrSplit(text, ';', absl::SkipEmpty())) {
    // The last colon: tensor names may have some (":1" is a second output).
    const size_t colon = pin.rfind(':');
    if (colon == absl::string_view::npos || colon == 0) {
      return InvalidFlag("pin", pin,
                         "use tensor:SBP, such as head.weight:S(0)");
    }
    absl::StatusOr<ops::NdSbp> sbp = ops::ParseNdSbp(pin.substr(colon + 1));
    if (!sbp.ok()) return InvalidFlag("pin", pin, sbp.status().message());
    const std::string tensor(pin.substr(0, colon));
    if (!pins.emplace(tensor, *sbp).second && pins[tensor] != *sbp) {
      return InvalidFlag(
          "pin", text,
          absl::StrCat(tensor, " is pinned twice, to ", pins[tensor].ToString(),
                       " and ", sbp->ToString(), "; use one of them"));
    }
  }
  return pins;
}

absl::Status CheckRanges(const Request& r) {
  struct Count {
    const char* flag;
    int64_t value, least, most;
  };
  for (const Count& c :
       {Count{"classes", r.classes, 0, INT32_MAX},
        Count{"batch_size", r.batch_size, 1, 1 << 24},
        Count{"accumulate", r.accumulate, 1, kMostAccumulated},
        Count{"lr_warmup", r.lr_warmup, 0, int64_t{1} << 40}}) {
    if (c.value < c.least || c.value > c.most) {
      return InvalidFlag(c.flag, absl::StrCat(c.value),
                         absl::StrCat("use ", c.least, " to ", c.most));
    }
  }
  if (r.classes == 1) {
    return InvalidFlag("classes", "1",
                       "one class cannot be told apart; use 2 or more");
  }
  if (r.batch_size < r.devices) {
    return InvalidFlag("batch_size", absl::StrCat(r.batch_size),
                       absl::StrCat("fewer images in a step than the ",
                                    r.devices, " devices; use at least ",
                                    r.devices, " or fewer --devices"));
  }
  if (r.classes > 0 && r.classes < r.devices) {
    return InvalidFlag("classes", absl::StrCat(r.classes),
                       absl::StrCat("fewer classes than the ", r.devices,
                                    " devices; use fewer --devices"));
  }
  struct Real {
    const char* flag;
    double value, least, most;
  };
  for (const Real& c : {Real{"lr", r.learning_rate, 0, 1e30},
                        Real{"momentum", r.momentum, 0, 1},
                        Real{"weight_decay", r.weight_decay, 0, 1},
                        Real{"clip_norm", r.clip_norm, 0, 1e30},
                        Real{"dropout", r.dropout, 0, 0.99},
                        Real{"partial_fc", r.partial_fc, 0, 1}}) {
    if (!(c.value >= c.least && c.value <= c.most)) {
      return InvalidFlag(c.flag, absl::StrCat(c.value),
                         absl::StrCat("use ", c.least, " to ", c.most));
    }
  }
  if (r.accumulate > 1 && r.partial_fc > 0 && r.partial_fc < 1) {
    return InvalidFlag(
        "accumulate", absl::StrCat(r.accumulate),
        absl::StrCat("with --partial_fc=", r.partial_fc,
                     " each step updates other classes, so that there is no "
                     "common gradient; leave one of the two out"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<AxisSize> AxesOf(const Request& request) {
  if (!request.mesh.empty()) return request.mesh;
  return {{"device", request.devices}};
}

DeviceChoice LocalDevicesOf(const Request& request) {
  return {request.device_kind, request.devices};
}

absl::StatusOr<Request> RequestFromFlags(const DeviceChoice& auto_devices) {
  Request r;
  RETURN_IF_ERROR(ParseDevices(FLAGS_devices, auto_devices, &r));
  RETURN_IF_ERROR(ArrangeDevices(FLAGS_mesh, FLAGS_devices == "auto", &r));
  const bool on_gpu = !r.hardware.empty() || r.device_kind == "cuda";
  ASSIGN_OR_RETURN(r.half, ParseHalf(FLAGS_fp16, FLAGS_half_type, on_gpu));
  ASSIGN_OR_RETURN(r.rounding, ParseRounding(FLAGS_tf32, r.half.has_value()));
  r.network = FLAGS_network;
  if (absl::Status known = models::IResNetLayers(r.network).status();
      !known.ok()) {
    return InvalidFlag("network", r.network, known.message());
  }
  r.classes = FLAGS_classes;
  r.batch_size = FLAGS_batch_size == 0 ? 16 * r.devices : FLAGS_batch_size;
  r.accumulate = FLAGS_accumulate;
  r.learning_rate = FLAGS_lr;
  r.lr_warmup = FLAGS_lr_warmup;
  r.lr_warmup_style = FLAGS_lr_warmup_style;
  if (r.lr_warmup_style != "ramp" && r.lr_warmup_style != "as_arcface_torch") {
    return InvalidFlag("lr_warmup_style", r.lr_warmup_style,
                       "use ramp or as_arcface_torch");
  }
  r.momentum = FLAGS_momentum;
  r.weight_decay = FLAGS_weight_decay;
  r.clip_norm = FLAGS_clip_norm;
  r.dropout = FLAGS_dropout;
  r.sync_bn = FLAGS_sync_bn;
  if (absl::StatusOr<models::Margin> margin = models::ParseMargin(FLAGS_margin);
      margin.ok()) {
    r.margin = *margin;
  } else {
    return InvalidFlag("margin", FLAGS_margin, margin.status().message());
  }
  r.margin_gradient = FLAGS_margin_gradient;
  if (r.margin_gradient != "as_arcface_torch" && r.margin_gradient != "exact") {
    return InvalidFlag("margin_gradient", r.margin_gradient,
                       "use as_arcface_torch or exact");
  }
  r.partial_fc = FLAGS_partial_fc;
  r.partial_fc_update = FLAGS_partial_fc_update;
  if (r.partial_fc_update != "sampled" && r.partial_fc_update != "dense") {
    return InvalidFlag("partial_fc_update", r.partial_fc_update,
                       "use sampled or dense");
  }
  if (r.partial_fc == 1 && r.partial_fc_update != "sampled") {
    return InvalidFlag("partial_fc_update", r.partial_fc_update,
                       "has no effect without --partial_fc below 1; add it");
  }
  ASSIGN_OR_RETURN(r.storage.weight,
                   ParseStored("weight_type", FLAGS_weight_type));
  ASSIGN_OR_RETURN(r.storage.momentum,
                   ParseStored("momentum_type", FLAGS_momentum_type));
  if (FLAGS_fuse != "auto" && FLAGS_fuse != "none") {
    return InvalidFlag("fuse", FLAGS_fuse, "use auto or none");
  }
  r.fuse = FLAGS_fuse == "auto";
  ASSIGN_OR_RETURN(r.recomputing, ParseRecomputing(FLAGS_recompute));
  ASSIGN_OR_RETURN(r.splitting, ParseSplitting(FLAGS_split_parameters));
  ASSIGN_OR_RETURN(r.pins, ParsePins(FLAGS_pin));
  for (const auto& [tensor, sbp] : r.pins) {
    if (sbp.num_axes() == static_cast<int>(AxesOf(r).size())) continue;
    return InvalidFlag(
        "pin", absl::StrCat(tensor, ":", sbp.ToString()),
        absl::StrCat("the mesh has ", AxesOf(r).size(),
                     " axes; name an SBP for each, separated by commas"));
  }
  r.dump_passes = UserPath(FLAGS_dump_passes);
  RETURN_IF_ERROR(CheckRanges(r));
  return r;
}

std::vector<std::string> RequestFlags() {
  std::vector<gflags::CommandLineFlagInfo> all;
  gflags::GetAllFlags(&all);
  std::vector<std::string> names;
  for (const gflags::CommandLineFlagInfo& flag : all) {
    // Those that are defined in this file.
    if (flag.filename == __FILE__) names.push_back(flag.name);
  }
  return names;
}

models::TrainConfig TrainConfigOf(const Request& r) {
  models::TrainConfig config;
  config.network = r.network;
  config.classes = r.classes;
  config.batch_size = r.batch_size;
  config.bn_groups = r.sync_bn ? 1 : r.devices;
  config.dropout = r.dropout;
  config.margin = r.margin;
  config.margin_gradient = r.margin_gradient;
  config.sample_rate = r.partial_fc;
  // What is sampled of a group lies on one device: the groups are split along
  // the innermost axis, which has the fastest links.
  config.class_groups = AxesOf(r).back().size;
  config.storage = r.storage;
  return config;
}

CompileOptions CompileOptionsOf(const Request& r, ops::TensorId loss) {
  CompileOptions options;
  options.loss = loss;
  options.optimizer.learning_rate = r.learning_rate;
  options.optimizer.accumulate = r.accumulate;
  options.optimizer.momentum = r.momentum;
  options.optimizer.weight_decay = r.weight_decay;
  options.optimizer.clip_norm = r.clip_norm;
  options.optimizer.warmup_steps = r.lr_warmup;
  options.optimizer.warmup_style = r.lr_warmup_style;
  options.optimizer.row_update = r.partial_fc_update;
  if (r.half.has_value()) {
    options.precision = *r.half == ops::DataType::kFloat16
                            ? Precision::kFloat16
                            : Precision::kBFloat16;
  }
  options.rounding = r.rounding;
  options.state_equal_once =
      !r.hardware.empty() && r.devices > kMostDevicesStated;
  options.fuse = r.fuse;
  options.recomputing = r.recomputing;
  options.splitting = r.splitting;
  options.pins = r.pins;
  options.dump_dir = r.dump_passes;
  return options;
}

}  // namespace facet::placement
