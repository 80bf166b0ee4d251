#include "placement/cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::placement {

ops::Mesh MeshOf(const Cluster& cluster) {
  ops::Mesh mesh;
  for (const MeshAxis& axis : cluster.mesh) mesh.sizes.push_back(axis.size);
  return mesh;
}

absl::Status CheckMesh(const Cluster& cluster) {
  for (const MeshAxis& axis : cluster.mesh) {
    if (axis.size >= 1) continue;
    return absl::InvalidArgumentError(absl::StrCat("the mesh axis \"",
                                                   axis.name, "\" has size ",
                                                   axis.size, "; at least 1"));
  }
  const ops::Mesh mesh = MeshOf(cluster);
  if (cluster.num_devices() >= 1 &&
      mesh.num_devices() == cluster.num_devices()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the mesh (", mesh.ToString(), ") has ", mesh.num_devices(),
                   " places for ", cluster.num_devices(), " devices"));
}

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

Cluster Arranged(Cluster row, absl::Span<const AxisSize> axes) {
  CHECK_EQ(row.mesh.size(), 1u);
  const MeshAxis link = row.mesh[0];
  row.mesh.clear();
  for (const AxisSize& axis : axes) {
    row.mesh.push_back(link);
    row.mesh.back().name = axis.name;
    row.mesh.back().size = axis.size;
  }
  CHECK_EQ(MeshOf(row).num_devices(), row.num_devices());
  return row;
}

}  // namespace facet::placement
