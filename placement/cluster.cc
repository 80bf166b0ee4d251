#include "placement/cluster.h"

#include "absl/strings/str_cat.h"

namespace facet::placement {

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
