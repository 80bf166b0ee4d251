// Cluster: the devices a graph is compiled for, and what they can do. The
// compiler's only knowledge of hardware; the devices need not exist.
#ifndef FACET_PLACEMENT_CLUSTER_H_
#define FACET_PLACEMENT_CLUSTER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ops/graph/data_type.h"
#include "ops/graph/mesh.h"
#include "ops/kernel.h"

namespace facet::placement {

class KernelTimer;  // kernel_timer.h

// How an operator differs from the device's rates: factors of them.
struct OpRateFactors {
  double float32 = 1;
  double half = 1;
  double memory = 1;

  friend bool operator==(const OpRateFactors&, const OpRateFactors&) = default;
};

struct DeviceSpec {
  std::string kind = "cpu";
  std::string name;  // "cpu:0", for people.
  int cores = 1;     // CPU: the cores its team runs on. Others: 0.
  // Sustained rates of one device, for the cost model.
  double float32_flops_per_second = 1e11;
  double half_flops_per_second = 1e11;
  // Of float32 products whose factors may be rounded (TF32); 0: as float32.
  double rounded_flops_per_second = 0;
  double memory_bytes_per_second = 20e9;
  double launch_seconds = 2e-6;  // Fixed cost of starting one task.
  // By operator; of those that are not here: 1.
  std::map<std::string, OpRateFactors> op_rates;
  // Memory of its own (a GPU's); 0: it shares Cluster::host_memory_bytes.
  int64_t memory_bytes = 0;

  friend bool operator==(const DeviceSpec&, const DeviceSpec&) = default;

  double flops_per_second(ops::DataType dtype) const {
    return ops::IsHalf(dtype) ? half_flops_per_second
                              : float32_flops_per_second;
  }
};

// One axis of the mesh. A message of n bytes between neighbours along it takes
// latency_seconds + n / bytes_per_second (alpha-beta model), while all groups
// of devices along it do the same.
struct MeshAxis {
  std::string name = "device";
  int size = 1;
  double latency_seconds = 5e-6;
  double bytes_per_second = 10e9;
  // What a collective costs besides when compute needs its result: devices do
  // not arrive at the same time. Gradient exchanges, which only the optimizer
  // reads, do not pay it.
  double blocking_seconds = 50e-6;
};

struct Cluster {
  std::vector<MeshAxis> mesh;  // Outermost first.
  // Row-major over the mesh: the last axis varies fastest.
  std::vector<DeviceSpec> devices;
  // For all devices without memory of their own together. 0: not limited.
  int64_t host_memory_bytes = 0;
  // Asked for workspace sizes and layouts. Null (hardware that is not here):
  // no workspace, row-major. Not owned.
  const ops::KernelLibrary* kernels = nullptr;
  // Asked which of several kernels is the fastest. Null: a rule decides. Not
  // owned.
  KernelTimer* kernel_timer = nullptr;

  int num_devices() const { return static_cast<int>(devices.size()); }
};

// The mesh without its links.
ops::Mesh MeshOf(const Cluster& cluster);

// InvalidArgument unless the mesh has axes, each of at least one device, and as
// many places as there are devices.
absl::Status CheckMesh(const Cluster& cluster);

// The same devices, with as much memory as anybody asks for.
Cluster WithoutMemoryLimits(Cluster cluster);

// `count` equal devices on a mesh of one axis.
Cluster UniformCluster(int count, const DeviceSpec& device,
                       const MeshAxis& axis);

// A name and a size: "node:4" and "device:8" of a mesh as people write it.
struct AxisSize {
  std::string name;
  int size = 1;
};

// The devices of a row, arranged on a mesh all of whose axes have the links of
// the row. The sizes' product must be the number of devices.
Cluster Arranged(Cluster row, absl::Span<const AxisSize> axes);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_CLUSTER_H_
