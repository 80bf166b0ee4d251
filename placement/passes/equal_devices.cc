#include "placement/passes/equal_devices.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "ops/graph/nd_sbp.h"

namespace facet::placement {
namespace {

using Dims = std::vector<int64_t>;

Dims DimsOf(const ops::Shape& shape) {
  return Dims(shape.dims().begin(), shape.dims().end());
}

bool SameHardware(DeviceSpec a, const DeviceSpec& b) {
  a.name = b.name;
  return a == b;
}

}  // namespace

std::vector<int> FindEqualDevices(const LaidOutGraph& graph,
                                  const Cluster& cluster) {
  const int num_devices = cluster.num_devices();
  const ops::Mesh mesh = MeshOf(cluster);
  // By device: its hardware, then its share of each kind of tensor.
  std::vector<std::vector<int>> kinds(num_devices);
  for (int d = 0; d < num_devices; ++d) {
    int first = 0;
    while (!SameHardware(cluster.devices[first], cluster.devices[d])) ++first;
    kinds[d].push_back(first);
  }
  std::set<std::pair<Dims, ops::NdSbp>> seen;
  for (size_t t = 0; t < graph.graph.tensors.size(); ++t) {
    const ops::Shape& shape = graph.graph.tensors[t].type.shape;
    const ops::NdSbp& sbp = graph.sbp[t];
    if (!seen.emplace(DimsOf(shape), sbp).second) continue;
    std::map<Dims, int> numbers;
    for (int d = 0; d < num_devices; ++d) {
      const ops::Shape local = ops::LocalRegion(shape, sbp, mesh, d).shape;
      kinds[d].push_back(
          numbers.emplace(DimsOf(local), numbers.size()).first->second);
    }
  }
  std::map<std::vector<int>, int> firsts;
  std::vector<int> like;
  for (int d = 0; d < num_devices; ++d) {
    like.push_back(firsts.emplace(kinds[d], d).first->second);
  }
  return like;
}

}  // namespace facet::placement
