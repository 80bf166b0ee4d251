// Hardware profiles: reading them, and clusters of what they describe.
#ifndef FACET_PLACEMENT_SIMULATE_HARDWARE_H_
#define FACET_PLACEMENT_SIMULATE_HARDWARE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::placement {

// The profiles that come with the program: files of hardware/ without ".txtpb".
std::vector<std::string> HardwareNames();

// The profile of that name, or in the file of that name. NotFound lists the
// names; InvalidArgument names the file, the field and what is wrong.
absl::StatusOr<Hardware> ReadHardware(const std::string& name_or_path);

// The most that a part of a peak may be. Above 1 is possible: FLOP are those of
// an operator's definition, of which Winograd's convolutions do fewer, and
// bytes are counted as if no cache held any.
inline constexpr double kMostEfficiency = 20;

// InvalidArgument names a field whose value cannot be.
absl::Status ValidateHardware(const Hardware& hardware);

// What is reached of the peak by this operator.
const Efficiency& EfficiencyOf(const Hardware& hardware, absl::string_view op);

// What a ring over this many devices, side by side, runs at: the network's rate
// as soon as it leaves a host.
const Link& LinkOf(const Hardware& hardware, int count);

DeviceSpec DeviceSpecOf(const Hardware& hardware);

// `count` of these devices in a row, named "v100_sxm2_32gb:0" ... No kernels:
// operands are row-major and need no workspace.
Cluster ClusterOf(const Hardware& hardware, int count);

// The same on a mesh of these axes, outermost first. Devices are numbered
// row-major and hosts are filled in that order, so an axis stays within a host
// if a host has as many devices as it and the axes behind it; else it has the
// network, which the devices of a host share: so many of them as lie side by
// side along the axes behind it send at once.
Cluster ClusterOf(const Hardware& hardware, absl::Span<const AxisSize> axes);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_HARDWARE_H_
