#include "placement/simulate/hardware.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "placement/plan/text_proto.h"
#include "placement/simulate/hardware_files.h"

namespace facet::placement {
namespace {

absl::StatusOr<Hardware> Parse(absl::string_view source,
                               const std::string& text) {
  Hardware hardware;
  if (absl::Status parsed = ParseTextProto(text, &hardware); !parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("hardware profile ", source, ": ", parsed.message()));
  }
  if (absl::Status valid = ValidateHardware(hardware); !valid.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("hardware profile ", source, ": ", valid.message()));
  }
  return hardware;
}

absl::Status CheckEfficiency(absl::string_view where, const Efficiency& e) {
  for (const auto& [field, value] :
       {std::pair<const char*, double>{"float32", e.float32()},
        {"half", e.half()},
        {"memory", e.memory()}}) {
    if (!(value > 0 && value <= kMostEfficiency)) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ".", field, " is ", value,
          "; a part of the peak, above 0 and at most ", kMostEfficiency));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLink(absl::string_view where, const Link& link) {
  if (link.latency_seconds() >= 0 && link.bytes_per_second() > 0 &&
      link.blocking_seconds() >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      where, " has latency_seconds ", link.latency_seconds(),
      ", bytes_per_second ", link.bytes_per_second(), ", blocking_seconds ",
      link.blocking_seconds(), "; a rate above 0, and times of 0 or more"));
}

}  // namespace

std::vector<std::string> HardwareNames() {
  std::vector<std::string> names;
  for (const HardwareFile& file : kHardwareFiles) names.push_back(file.name);
  return names;
}

absl::StatusOr<Hardware> ReadHardware(const std::string& name_or_path) {
  for (const HardwareFile& file : kHardwareFiles) {
    if (name_or_path == file.name) return Parse(file.name, file.text);
  }
  std::ifstream file(name_or_path);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError(
        absl::StrCat("there is no hardware profile \"", name_or_path,
                     "\", and no file of that name; profiles are ",
                     absl::StrJoin(HardwareNames(), ", ")));
  }
  return Parse(name_or_path, text.str());
}

absl::Status ValidateHardware(const Hardware& h) {
  for (const auto& [field, value] :
       {std::pair<const char*, double>{"float32_flops_per_second",
                                       h.float32_flops_per_second()},
        {"half_flops_per_second", h.half_flops_per_second()},
        {"memory_bytes_per_second", h.memory_bytes_per_second()}}) {
    if (!(value > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, " is ", value, "; it must be above 0"));
    }
  }
  if (h.memory_bytes() < 0 || h.launch_seconds() < 0 ||
      h.eager().issue_seconds() < 0 || h.devices_per_host() < 1 ||
      h.rounded_flops_per_second() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "memory_bytes is ", h.memory_bytes(), ", launch_seconds ",
        h.launch_seconds(), ", rounded_flops_per_second ",
        h.rounded_flops_per_second(), ", eager.issue_seconds ",
        h.eager().issue_seconds(), ", devices_per_host ", h.devices_per_host(),
        "; none is negative, and a host has a device"));
  }
  RETURN_IF_ERROR(CheckEfficiency("efficiency", h.efficiency()));
  for (const OpRates& rates : h.rates()) {
    RETURN_IF_ERROR(CheckEfficiency(
        absl::StrCat("rates of ", absl::StrJoin(rates.op(), ", ")),
        rates.efficiency()));
  }
  RETURN_IF_ERROR(CheckLink("link", h.link()));
  return CheckLink("network", h.network());
}

const Efficiency& EfficiencyOf(const Hardware& hardware, absl::string_view op) {
  for (const OpRates& rates : hardware.rates()) {
    for (const std::string& name : rates.op()) {
      if (name == op) return rates.efficiency();
    }
  }
  return hardware.efficiency();
}

const Link& LinkOf(const Hardware& hardware, int count) {
  return count > hardware.devices_per_host() ? hardware.network()
                                             : hardware.link();
}

DeviceSpec DeviceSpecOf(const Hardware& h) {
  const Efficiency& usual = h.efficiency();
  DeviceSpec spec;
  spec.kind = h.kind();
  spec.cores = 0;
  spec.float32_flops_per_second =
      h.float32_flops_per_second() * usual.float32();
  spec.half_flops_per_second = h.half_flops_per_second() * usual.half();
  spec.rounded_flops_per_second = h.rounded_flops_per_second() * usual.half();
  spec.memory_bytes_per_second = h.memory_bytes_per_second() * usual.memory();
  spec.launch_seconds = h.launch_seconds();
  spec.memory_bytes = h.memory_bytes();
  for (const OpRates& rates : h.rates()) {
    const Efficiency& e = rates.efficiency();
    for (const std::string& op : rates.op()) {
      spec.op_rates[op] = {e.float32() / usual.float32(),
                           e.half() / usual.half(),
                           e.memory() / usual.memory()};
    }
  }
  return spec;
}

Cluster ClusterOf(const Hardware& hardware, absl::Span<const AxisSize> axes) {
  int count = 1;
  for (const AxisSize& axis : axes) count *= axis.size;
  Cluster cluster = UniformCluster(count, DeviceSpecOf(hardware), MeshAxis());
  for (int d = 0; d < count; ++d) {
    cluster.devices[d].name = absl::StrCat(hardware.name(), ":", d);
  }
  cluster.mesh.clear();
  int extent = count;  // Devices side by side: this axis and those behind it.
  for (const AxisSize& size : axes) {
    const Link& link = LinkOf(hardware, extent);
    const int behind = extent / size.size;
    const int sharing = extent > hardware.devices_per_host()
                            ? std::min(behind, hardware.devices_per_host())
                            : 1;
    MeshAxis axis;
    axis.name = size.name;
    axis.size = size.size;
    axis.latency_seconds = link.latency_seconds();
    axis.bytes_per_second = link.bytes_per_second() / sharing;
    axis.blocking_seconds = link.blocking_seconds();
    cluster.mesh.push_back(std::move(axis));
    extent = behind;
  }
  return cluster;
}

Cluster ClusterOf(const Hardware& hardware, int count) {
  return ClusterOf(hardware, {AxisSize{"device", count}});
}

}  // namespace facet::placement
