#include "placement/tool/simulation_tables.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/published.h"
#include "ops/status_macros.h"
#include "placement/simulate/arcface_torch.h"
#include "placement/simulate/simulator.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

constexpr double kGiB = double{1 << 30};

std::string Milliseconds(double seconds) {
  return absl::StrFormat("%.1f", 1e3 * seconds);
}

std::string Speed(double samples_per_second) {
  return absl::StrFormat("%.0f", samples_per_second);
}

Json PhasesJson(const std::vector<std::pair<std::string, double>>& phases) {
  Json json = Json::object();
  for (const auto& [phase, seconds] : phases) json[phase] = seconds;
  return json;
}

struct PeerTimes {
  double step = 0, backbone = 0, head = 0, optimizer = 0;
  double step_with_spread_labels = 0;
};

// Of its first device, which all others wait for.
PeerTimes SimulatePeer(const Hardware& hardware, ArcfaceTorchRun run) {
  PeerTimes result;
  const Plan plan = ArcfaceTorchPlan(hardware, run);
  result.step = SimulateSteadyStep(plan).seconds;
  for (const Task& task : plan.tasks()) {
    if (task.device() != 0 || task.stream() != "compute") continue;
    double* sum = task.part() == "head"         ? &result.head
                  : task.phase() == "optimizer" ? &result.optimizer
                                                : &result.backbone;
    *sum += task.predicted_seconds();
  }
  run.all_labels_on_first = false;
  result.step_with_spread_labels =
      SimulateSteadyStep(ArcfaceTorchPlan(hardware, run)).seconds;
  return result;
}

struct OurTimes {
  SimulatedRun unfused_in_turn;  // No overlap of communication.
  SimulatedRun unfused;
  SimulatedRun run;
};

absl::StatusOr<OurTimes> SimulateOurs(Request request,
                                      const Hardware& hardware) {
  OurTimes times;
  request.fuse = true;
  ASSIGN_OR_RETURN(times.run, SimulateRequest(request, hardware));
  request.fuse = false;
  ASSIGN_OR_RETURN(times.unfused, SimulateRequest(request, hardware));
  ASSIGN_OR_RETURN(times.unfused_in_turn,
                   SimulateRequest(request, hardware, {.overlap = false}));
  return times;
}

constexpr int kImagesPerDevice = 64;

// What takes most of the step.
std::string Limit(const SimulatedRun& run, const Hardware& hardware) {
  if (!run.fits) {
    return absl::StrFormat(
        "memory: %.0f of %.0f GiB%s", run.memory_bytes / kGiB,
        static_cast<double>(hardware.memory_bytes()) / kGiB,
        run.persistent_bytes > hardware.memory_bytes() ? ", weights alone"
                                                       : "");
  }
  const std::pair<double, const char*> parts[] = {
      {run.phase("forward") + run.phase("backward"), "backbone"},
      {run.phase("head"), "head"},
      {run.exposed_seconds, "communication"},
      {run.phase("optimizer"), "optimizer"}};
  const auto& largest = *std::max_element(std::begin(parts), std::end(parts));
  return absl::StrFormat("%s: %.0f %% of the step", largest.second,
                         100 * largest.first / run.step_seconds);
}

}  // namespace

Json RunJson(const SimulatedRun& run) {
  return {{"samples_per_second", run.samples_per_second},
          {"step_seconds", run.step_seconds},
          {"memory_bytes", run.memory_bytes},
          {"fits", run.fits},
          {"exposed_seconds", run.exposed_seconds},
          {"phases", PhasesJson(run.phases)}};
}

std::string ErrorTable(const std::vector<SpeedRow>& rows, int width,
                       Json* json) {
  TextTable table({{"arcface_torch"},
                   {"published", true},
                   {"simulated", true},
                   {"error", true},
                   {""}});
  (*json)["rows"] = Json::array();
  double worst = 0;
  for (const SpeedRow& row : rows) {
    table.Add({row.name, Speed(row.published), Speed(row.predicted),
               absl::StrFormat("%+.1f %%", row.error_percent),
               row.fitted ? "fitted" : ""});
    (*json)["rows"].push_back({{"name", row.name},
                               {"published", row.published},
                               {"predicted", row.predicted},
                               {"error_percent", row.error_percent},
                               {"fitted", row.fitted}});
    if (!row.fitted) worst = std::max(worst, std::abs(row.error_percent));
  }
  const double mean = MeanAbsoluteErrorPercentUnseen(rows);
  (*json)["mean_absolute_error_percent_unseen"] = mean;
  return absl::StrCat(
      table.ToString(width),
      absl::StrFormat("mean absolute error of the rows that were not fitted: "
                      "%.1f %%, largest %.1f %%\n",
                      mean, worst));
}

absl::StatusOr<std::string> OurTables(const Machine& machine, Request request,
                                      int width, Json* json) {
  request.network = "r50";
  TextTable speeds({{"model"},
                    {"arcface_torch, published", true},
                    {"simulated", true},
                    {"ours, simulated", true},
                    {"ratio", true},
                    {"GiB of a device", true}});
  TextTable gains({{"ms a step, simulated"},
                   {"arcface_torch", true},
                   {"labels on all ranks", true},
                   {"ours, nothing fused, no overlap", true},
                   {"overlap", true},
                   {"head fused", true}});
  TextTable parts({{"ms, peer / ours"},
                   {"backbone", true},
                   {"head", true},
                   {"optimizer", true},
                   {"exposed, ours", true}});
  (*json)["ours"] = Json::array();
  for (const benchmarks::PublishedRow& row : benchmarks::PublishedRows()) {
    const ArcfaceTorchRun run = RunOfRow(row, machine.devices);
    request.classes = row.classes;
    request.batch_size = row.batch_size;
    request.partial_fc = run.sample_rate;
    request.half = std::nullopt;
    if (row.half) request.half = ops::DataType::kFloat16;
    ASSIGN_OR_RETURN(const OurTimes ours,
                     SimulateOurs(request, machine.hardware));
    const PeerTimes peer = SimulatePeer(machine.hardware, run);
    const std::string name = NameOfRow(row);
    const double peer_speed = static_cast<double>(row.batch_size) / peer.step;
    speeds.Add(
        {name, Speed(row.samples_per_second), Speed(peer_speed),
         Speed(ours.run.samples_per_second),
         absl::StrFormat("%.2f", ours.run.samples_per_second / peer_speed),
         absl::StrFormat("%.1f%s", ours.run.memory_bytes / kGiB,
                         ours.run.fits ? "" : " (too much)")});
    gains.Add({name, Milliseconds(peer.step),
               Milliseconds(peer.step_with_spread_labels),
               Milliseconds(ours.unfused_in_turn.step_seconds),
               Milliseconds(ours.unfused.step_seconds),
               Milliseconds(ours.run.step_seconds)});
    auto pair = [](double a, double b) {
      return absl::StrCat(Milliseconds(a), " / ", Milliseconds(b));
    };
    parts.Add({name,
               pair(peer.backbone,
                    ours.run.phase("forward") + ours.run.phase("backward")),
               pair(peer.head, ours.run.phase("head")),
               pair(peer.optimizer, ours.run.phase("optimizer")),
               Milliseconds(ours.run.exposed_seconds)});
    Json entry = RunJson(ours.run);
    entry["name"] = name;
    entry["arcface_torch_samples_per_second"] = peer_speed;
    (*json)["ours"].push_back(entry);
  }
  return absl::StrCat(
      "\nOurs, for kernels that reach what arcface_torch's do:\n",
      speeds.ToString(width),
      "\nWhere it comes from, one change after the other:\n",
      gains.ToString(width), "\n", parts.ToString(width));
}

absl::StatusOr<std::string> ScaleOutTable(const Machine& machine,
                                          Request request, int width,
                                          Json* json) {
  TextTable table({{"identities"},
                   {"devices", true},
                   {"samples/s", true},
                   {"efficiency", true},
                   {"GiB of a device", true},
                   {"limit"},
                   {"arcface_torch, Partial FC 0.1", true}});
  (*json)["rows"] = Json::array();
  for (const int64_t millions : {2, 10, 30, 100}) {
    double first_per_device = 0;
    for (const int devices : {8, 16, 64, 256, 1024}) {
      // The table comes at the end, after minutes.
      std::fprintf(stderr, "simulating %d million identities, %d devices\n",
                   static_cast<int>(millions), devices);
      request.classes = millions * 1'000'000;
      request.devices = devices;
      request.batch_size = int64_t{kImagesPerDevice} * devices;
      ASSIGN_OR_RETURN(const SimulatedRun run,
                       SimulateRequest(request, machine.hardware));
      const double per_device = run.samples_per_second / devices;
      if (first_per_device == 0) first_per_device = per_device;
      ArcfaceTorchRun peer;
      peer.classes = request.classes;
      peer.batch_size = request.batch_size;
      peer.half = request.half.has_value();
      peer.sample_rate = 0.1;
      peer.devices = devices;
      peer.all_labels_on_first = false;
      const double peer_speed =
          ArcfaceTorchSamplesPerSecond(machine.hardware, peer);
      table.Add(
          {absl::StrCat(millions, "M"), absl::StrCat(devices),
           Speed(run.samples_per_second),
           absl::StrFormat("%.0f %%", 100 * per_device / first_per_device),
           absl::StrFormat("%.1f", run.memory_bytes / kGiB),
           Limit(run, machine.hardware), Speed(peer_speed)});
      Json row = RunJson(run);
      row["identities"] = request.classes;
      row["devices"] = devices;
      row["limit"] = Limit(run, machine.hardware);
      row["arcface_torch_partial_fc_samples_per_second"] = peer_speed;
      (*json)["rows"].push_back(row);
    }
  }
  return absl::StrCat(
      "simulated: ", request.network, ", ",
      request.partial_fc < 1
          ? absl::StrCat("Partial FC ", request.partial_fc, ", ")
          : "",
      kImagesPerDevice, " images per device, on ", machine.hardware.name(),
      ", ", machine.hardware.devices_per_host(),
      " to a host;\ncollectives are rings over all devices, at the network's "
      "rate beyond one host.\nEfficiency: samples/s per device, of that with "
      "8. What does not fit is simulated as if it did.\n\n",
      table.ToString(width));
}

}  // namespace facet::placement
