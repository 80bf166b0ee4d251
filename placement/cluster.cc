#include "placement/cluster.h"

#include "absl/strings/str_cat.h"

namespace facet::placement {

Cluster WithoutMemoryLimits(Cluster cluster) {
  cluster.host_memory_bytes = 0;
  for (DeviceSpec& device : cluster.devices) device.memory_bytes = 0;
  return cluster;
}

Cluster UniformCluster(int count, const DeviceSpec& device,
                       const MeshAxis& axis) {
  Cluster cluster;
  cluster.mesh.push_back(axis);
  cluster.mesh.back().size = count;
  for (int i = 0; i < count; ++i) {
    cluster.devices.push_back(device);
    cluster.devices.back().name = absl::StrCat(device.kind, ":", i);
  }
  return cluster;
}

}  // namespace facet::placement
