// Hardware that plans can be made for by name, whether it is here or not.
#ifndef FACET_PLACEMENT_KNOWN_HARDWARE_H_
#define FACET_PLACEMENT_KNOWN_HARDWARE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "placement/cluster.h"

namespace facet::placement {

// A device and what connects it to the others of its kind. The rates are what
// training sustains, not what data sheets print.
struct Hardware {
  std::string name;  // "v100_sxm2_32gb"
  DeviceSpec device;
  MeshAxis axis;
};

// nullptr: none has this name.
const Hardware* FindHardware(absl::string_view name);
std::vector<std::string> HardwareNames();

// `count` of them in a row, named "v100_sxm2_32gb:0" ... No kernels: workspaces
// are not known, tensors lie row-major.
Cluster KnownCluster(const Hardware& hardware, int count);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_KNOWN_HARDWARE_H_
