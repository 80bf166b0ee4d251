// Mesh: a grid of devices with one or more axes, outermost first, and nothing
// but its shape: what its devices and links can do is the cluster's business
// (placement/cluster.h).
#ifndef FACET_OPS_GRAPH_MESH_H_
#define FACET_OPS_GRAPH_MESH_H_

#include <string>
#include <vector>

namespace facet::ops {

// Devices are numbered row-major: those of the last axis lie side by side. Of
// {4, 8} devices 8 to 15 are the second row.
struct Mesh {
  std::vector<int> sizes;  // By axis; each at least 1.

  int num_axes() const { return static_cast<int>(sizes.size()); }
  int num_devices() const;
  // How far apart the devices are that are neighbours along the axis.
  int Stride(int axis) const;
  // Where along the axis the device is.
  int Coordinate(int device, int axis) const {
    return device / Stride(axis) % sizes[axis];
  }
  // The devices that differ in this coordinate alone, in its order: every
  // device is in one of the groups. Those of fewer device numbers first.
  std::vector<std::vector<int>> GroupsAlong(int axis) const;

  std::string ToString() const;  // "4x8"

  friend bool operator==(const Mesh& a, const Mesh& b) {
    return a.sizes == b.sizes;
  }
};

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_MESH_H_
