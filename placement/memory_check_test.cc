#include "placement/memory_check.h"

#include <limits>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace facet::placement {
namespace {

// Two devices of 3 GiB each: 2 GiB head.weight and 1 GiB for the step.
Plan BigPlan() {
  Plan plan;
  for (int d = 0; d < 2; ++d) {
    Device* device = plan.add_devices();
    device->set_name(d == 0 ? "cpu:0" : "cpu:1");
    device->set_arena_bytes(int64_t{3} << 30);
    device->set_persistent_bytes(int64_t{2} << 30);
    Register* reg = plan.add_registers();
    reg->set_name("head.weight");
    reg->set_device(d);
    reg->set_credits(1);
    reg->set_persistent(true);
    reg->set_slot_stride_bytes(int64_t{2} << 30);
  }
  return plan;
}

TEST(CheckMemory, HostMemoryIsForAllTogether) {
  Cluster cluster = UniformCluster(2, DeviceSpec(), MeshAxis());
  EXPECT_TRUE(CheckMemory(BigPlan(), cluster).ok());  // 0: not limited.
  cluster.host_memory_bytes = int64_t{6} << 30;
  EXPECT_TRUE(CheckMemory(BigPlan(), cluster).ok());
  cluster.host_memory_bytes -= 1;
  const absl::Status status = CheckMemory(BigPlan(), cluster);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  for (const char* part :
       {"device cpu:0 needs 3.00 GiB", "together 6.00 GiB", "host memory",
        "head.weight 2.00 GiB, activations, gradients and workspaces 1.00 GiB",
        "--batch_size", "--fp16", "--classes"}) {
    EXPECT_TRUE(absl::StrContains(status.message(), part)) << status;
  }
}

// Above 0 exactly where CheckMemory refuses.
TEST(BytesOver, IsOfTheDeviceThatFitsLeast) {
  constexpr double kGiB = int64_t{1} << 30;
  Cluster cluster = UniformCluster(2, DeviceSpec(), MeshAxis());
  EXPECT_EQ(BytesOver(BigPlan(), cluster),
            -std::numeric_limits<double>::infinity());
  cluster.host_memory_bytes = int64_t{5} << 30;
  EXPECT_EQ(BytesOver(BigPlan(), cluster), 0.5 * kGiB);
  cluster.host_memory_bytes = int64_t{6} << 30;
  EXPECT_EQ(BytesOver(BigPlan(), cluster), 0);
  // One has memory of its own: the host's is for the other.
  cluster.devices[0].memory_bytes = int64_t{4} << 30;
  EXPECT_EQ(BytesOver(BigPlan(), cluster), -1 * kGiB);
  cluster.devices[0].memory_bytes = int64_t{1} << 30;
  EXPECT_EQ(BytesOver(BigPlan(), cluster), 2 * kGiB);
  cluster.host_memory_bytes = 0;
  EXPECT_EQ(BytesOver(BigPlan(), cluster), 2 * kGiB);
}

TEST(CheckMemory, DevicesWithMemoryOfTheirOwn) {
  DeviceSpec device;
  device.memory_bytes = int64_t{4} << 30;
  Cluster cluster = UniformCluster(2, device, MeshAxis());
  cluster.host_memory_bytes = 1;  // Not theirs.
  EXPECT_TRUE(CheckMemory(BigPlan(), cluster).ok());
  cluster.devices[1].memory_bytes = int64_t{2} << 30;
  const absl::Status status = CheckMemory(BigPlan(), cluster);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(), "device cpu:1 needs"));
  EXPECT_TRUE(absl::StrContains(status.message(), "2.00 GiB on that device"));
}

}  // namespace
}  // namespace facet::placement
