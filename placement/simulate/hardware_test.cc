#include "placement/simulate/hardware.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/op_table.h"

namespace facet::placement {
namespace {

using testing::HasSubstr;

TEST(HardwareTest, TheProfilesThatComeWithTheProgramAreValid) {
  EXPECT_THAT(HardwareNames(),
              testing::IsSupersetOf({"v100_sxm2_32gb", "a100", "h100", "cpu"}));
  for (const std::string& name : HardwareNames()) {
    const absl::StatusOr<Hardware> hardware = ReadHardware(name);
    ASSERT_TRUE(hardware.ok()) << hardware.status();
    EXPECT_EQ(hardware->name(), name);
    // A rate under a name that no operator has would count for nothing.
    for (const OpRates& rates : hardware->rates()) {
      for (const std::string& op : rates.op()) {
        EXPECT_NE(ops::FindOp(op), nullptr) << name << ": " << op;
      }
    }
  }
}

TEST(HardwareTest, RatesOfADeviceAreThePeaksTimesWhatIsReached) {
  const Hardware hardware = *ReadHardware("v100_sxm2_32gb");
  const DeviceSpec spec = DeviceSpecOf(hardware);
  for (const char* op : {"conv2d", "matmul", "add"}) {
    const Efficiency& e = EfficiencyOf(hardware, op);
    const auto it = spec.op_rates.find(op);
    const OpRateFactors factors =
        it == spec.op_rates.end() ? OpRateFactors() : it->second;
    EXPECT_NEAR(spec.float32_flops_per_second * factors.float32,
                hardware.float32_flops_per_second() * e.float32(), 1e3);
    EXPECT_NEAR(spec.half_flops_per_second * factors.half,
                hardware.half_flops_per_second() * e.half(), 1e3);
    EXPECT_NEAR(spec.memory_bytes_per_second * factors.memory,
                hardware.memory_bytes_per_second() * e.memory(), 1e3);
  }
  EXPECT_EQ(spec.memory_bytes, hardware.memory_bytes());
}

TEST(HardwareTest, BeyondOneHostTheNetworkSetsTheRate) {
  const Hardware hardware = *ReadHardware("v100_sxm2_32gb");
  EXPECT_EQ(ClusterOf(hardware, 8).mesh[0].bytes_per_second,
            hardware.link().bytes_per_second());
  const Cluster cluster = ClusterOf(hardware, 9);
  EXPECT_EQ(cluster.mesh[0].bytes_per_second,
            hardware.network().bytes_per_second());
  EXPECT_EQ(cluster.num_devices(), 9);
}

// Eight rings over four hosts send through the same adapters.
TEST(HardwareTest, AxesOfAMeshHaveTheirOwnLinks) {
  const Hardware hardware = *ReadHardware("v100_sxm2_32gb");
  const Cluster cluster = ClusterOf(hardware, {{"node", 4}, {"device", 8}});
  ASSERT_EQ(cluster.mesh.size(), 2u);
  EXPECT_EQ(cluster.num_devices(), 32);
  EXPECT_EQ(cluster.mesh[0].name, "node");
  EXPECT_EQ(cluster.mesh[0].latency_seconds,
            hardware.network().latency_seconds());
  EXPECT_EQ(cluster.mesh[0].bytes_per_second,
            hardware.network().bytes_per_second() / 8);
  EXPECT_EQ(cluster.mesh[1].bytes_per_second,
            hardware.link().bytes_per_second());
  // Both within a host.
  const Cluster one_host = ClusterOf(hardware, {{"a", 2}, {"b", 4}});
  for (const MeshAxis& axis : one_host.mesh) {
    EXPECT_EQ(axis.bytes_per_second, hardware.link().bytes_per_second());
  }
  // Two hosts, neither axis of which is one: half of a ring of four crosses.
  const Cluster across = ClusterOf(hardware, {{"a", 4}, {"b", 4}});
  EXPECT_EQ(across.mesh[0].bytes_per_second,
            hardware.network().bytes_per_second() / 4);
}

TEST(HardwareTest, WhatIsWrongWithAFileIsNamed) {
  const std::string path = testing::TempDir() + "/wrong.txtpb";
  auto error = [&](const std::string& text) {
    std::ofstream(path) << text;
    return std::string(ReadHardware(path).status().message());
  };
  EXPECT_THAT(error("nmae: \"x\""),
              testing::AllOf(HasSubstr("wrong.txtpb"), HasSubstr("line 1"),
                             HasSubstr("nmae")));
  EXPECT_THAT(error("name: \"x\""), HasSubstr("float32_flops_per_second is 0"));
  Hardware hardware = *ReadHardware("a100");
  hardware.mutable_rates(0)->mutable_efficiency()->set_half(-1);
  EXPECT_THAT(std::string(ValidateHardware(hardware).message()),
              testing::AllOf(HasSubstr("half is -1"), HasSubstr("matmul")));
  hardware = *ReadHardware("a100");
  hardware.mutable_network()->set_bytes_per_second(0);
  EXPECT_THAT(std::string(ValidateHardware(hardware).message()),
              HasSubstr("network"));
  EXPECT_THAT(std::string(ReadHardware("nothing").status().message()),
              HasSubstr("profiles are"));
}

}  // namespace
}  // namespace facet::placement
