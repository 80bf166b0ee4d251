// `plan simulate`: how fast a model would train on hardware that need not be
// here, and how far to believe it.

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "benchmarks/published.h"
#include "gflags/gflags.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "placement/simulate/fit.h"
#include "placement/simulate/hardware.h"
#include "placement/tool/commands.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/published_speed.h"
#include "placement/tool/request.h"
#include "placement/tool/simulated_run.h"
#include "placement/tool/simulation_tables.h"
#include "placement/tool/text_table.h"
#include "placement/tool/tool_flags.h"

DECLARE_string(mesh);
DEFINE_string(hardware, "v100_sxm2_32gb:8",
              "NAME:COUNT: this many devices in a row. NAME is a profile "
              "(v100_sxm2_32gb, a100, h100, cpu) or a file like those in "
              "placement/simulate/hardware.");
DEFINE_bool(published, false,
            "Simulate what arcface_torch's authors published for 8 x "
            "V100-SXM2-32GB, beside it, and the same models by our plans.");
DEFINE_bool(fit, false,
            "With --published: fit the profile's free parameters to the rows "
            "that are declared for it, and print them.");
DEFINE_bool(scale_out, false,
            "Simulate 8 to 1,024 of these devices and 2 to 100 million "
            "identities, 64 images per device.");

namespace facet::placement {
namespace {

constexpr int kPublishedDevices = 8;
constexpr char kPublishedHardware[] = "v100_sxm2_32gb";

absl::StatusOr<Machine> MachineFromFlag() {
  Machine machine;
  const size_t colon = FLAGS_hardware.rfind(':');
  std::string name = FLAGS_hardware.substr(0, colon);
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(FLAGS_hardware.substr(colon + 1), &machine.devices) ||
      machine.devices < 1 || machine.devices > 1024) {
    return InvalidFlag("hardware", FLAGS_hardware,
                       "use NAME:COUNT with 1 to 1024 devices, such as "
                       "v100_sxm2_32gb:8");
  }
  const std::vector<std::string> names = HardwareNames();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    name = UserPath(name);
  }
  absl::StatusOr<Hardware> hardware = ReadHardware(name);
  if (!hardware.ok()) {
    return InvalidFlag("hardware", FLAGS_hardware, hardware.status().message());
  }
  machine.hardware = *std::move(hardware);
  return machine;
}

// The flags' request for this machine: half precision is float16 on GPUs.
absl::StatusOr<Request> RequestFor(const Machine& machine) {
  return RequestFromFlags({machine.hardware.kind(), machine.devices});
}

absl::StatusOr<std::string> SimulateModel(const Machine& machine, Json* json) {
  ASSIGN_OR_RETURN(const Request request, RequestFor(machine));
  if (request.classes == 0) {
    return InvalidFlag("classes", "0", "a plan needs a number of classes");
  }
  ASSIGN_OR_RETURN(const SimulatedRun run,
                   SimulateRequest(request, machine.hardware));
  *json = RunJson(run);
  std::string text = absl::StrFormat(
      "simulated: %s, %d classes, batch %d, %s on %d x %s\n"
      "  %.0f samples/s, step %s, memory of a device %.2f GiB%s\n",
      request.network, request.classes, request.batch_size,
      request.half.has_value() ? std::string(ops::DataTypeName(*request.half))
                               : "float32",
      machine.devices, machine.hardware.name(), run.samples_per_second,
      SecondsText(run.step_seconds),
      static_cast<double>(run.memory_bytes) / (1 << 30),
      run.fits ? "" : " (does not fit)");
  for (const auto& [phase, seconds] : run.phases) {
    absl::StrAppendFormat(&text, "  %-28s%s\n", phase, SecondsText(seconds));
  }
  absl::StrAppendFormat(&text, "  %-28s%s\n", "not hidden by compute",
                        SecondsText(run.exposed_seconds));
  return text;
}

absl::StatusOr<std::string> SimulatePublished(Machine machine, int width,
                                              Json* json) {
  const std::vector<benchmarks::PublishedRow>& published =
      benchmarks::PublishedRows();
  std::string text;
  if (machine.hardware.name() != kPublishedHardware) {
    absl::StrAppend(&text, "Published was ", kPublishedHardware,
                    ", simulated is ", machine.hardware.name(),
                    ": the error compares the two, and not the model with "
                    "what it models.\n\n");
  }
  if (FLAGS_fit) {
    machine.hardware =
        FitToPublished(machine.hardware, machine.devices, published);
    for (const FitParameter& p : FitParameters()) {
      const double value = p.get(machine.hardware);
      absl::StrAppendFormat(&text, "fitted %-24s%.4g  (prior: %.4g)\n", p.name,
                            value, p.prior);
      (*json)["fit"][p.name] = value;
    }
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(
      &text,
      ErrorTable(PredictPublished(machine.hardware, machine.devices, published),
                 width, json));
  ASSIGN_OR_RETURN(const Request request, RequestFor(machine));
  ASSIGN_OR_RETURN(const std::string ours,
                   OurTables(machine, request, width, json));
  return absl::StrCat(text, ours);
}

absl::StatusOr<std::string> RunSimulate(const Invocation& invocation) {
  if (!invocation.arguments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("simulate takes flags only, not ",
                     absl::StrJoin(invocation.arguments, " ")));
  }
  if (FLAGS_fit && !FLAGS_published) {
    return InvalidFlag("fit", "true",
                       "is to published speeds; add --published");
  }
  if (FLAGS_published && FLAGS_scale_out) {
    return InvalidFlag("scale_out", "true",
                       "has a table of its own; leave out --published");
  }
  if (!FLAGS_mesh.empty() && (FLAGS_published || FLAGS_scale_out)) {
    return InvalidFlag("mesh", FLAGS_mesh,
                       "the tables are of devices in a row; leave it out, or "
                       "simulate one model");
  }
  ASSIGN_OR_RETURN(const std::string path, OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(const Machine machine, MachineFromFlag());
  if (FLAGS_published && machine.devices != kPublishedDevices) {
    return InvalidFlag(
        "hardware", FLAGS_hardware,
        absl::StrCat("the published runs had ", kPublishedDevices,
                     " devices; use as many, or leave out "
                     "--published"));
  }
  Json json = {{"simulated", true},
               {"hardware", machine.hardware.name()},
               {"devices", machine.devices}};
  std::string text;
  if (FLAGS_published) {
    ASSIGN_OR_RETURN(text, SimulatePublished(machine, invocation.width, &json));
  } else if (FLAGS_scale_out) {
    ASSIGN_OR_RETURN(const Request request, RequestFor(machine));
    ASSIGN_OR_RETURN(text,
                     ScaleOutTable(machine, request, invocation.width, &json));
  } else {
    Json run;
    ASSIGN_OR_RETURN(text, SimulateModel(machine, &run));
    json.update(run);
  }
  if (!path.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(path, json.dump(2) + "\n"));
  }
  return text;
}

}  // namespace

Command SimulateCommand() {
  Command command;
  command.name = "simulate";
  command.arguments = "";
  command.summary = "how fast it would train on hardware that is not here";
  command.details =
      "Compiles the model that the flags describe for the devices of a "
      "hardware profile and runs the plan on a virtual clock, by the rule by "
      "which the runtime fires tasks. --published and --scale_out make tables "
      "instead. docs/simulation.md says what the model leaves out.";
  command.flags = {"hardware", "published", "fit", "scale_out", "json"};
  for (std::string& flag : RequestFlags()) {
    if (flag != "devices") command.flags.push_back(flag);
  }
  command.run = RunSimulate;
  return command;
}

}  // namespace facet::placement
