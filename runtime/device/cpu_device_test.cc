#include "runtime/device/cpu_device.h"

#include <hwloc.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace facet::runtime {
namespace {

std::string ToString(hwloc_const_bitmap_t bitmap) {
  char text[256];
  hwloc_bitmap_list_snprintf(text, sizeof(text), bitmap);
  return text;
}

// The cores share out what the process may use, and arenas lie on their nodes,
// although this thread, which is on any core, touches them.
TEST(CpuDeviceTest, CoresAndTheMemoryBesideThem) {
  hwloc_topology_t topology;
  ASSERT_EQ(hwloc_topology_init(&topology), 0);
  ASSERT_EQ(hwloc_topology_load(topology), 0);
  hwloc_cpuset_t all = hwloc_bitmap_alloc();
  const auto* membind = hwloc_topology_get_support(topology)->membind;
  if (!membind->set_area_membind || !membind->get_area_memlocation ||
      hwloc_get_cpubind(topology, all, HWLOC_CPUBIND_THREAD) != 0 ||
      hwloc_set_cpubind(topology, all, HWLOC_CPUBIND_THREAD) != 0) {
    hwloc_bitmap_free(all);
    hwloc_topology_destroy(topology);
    GTEST_SKIP() << "this system does not let us place threads, or does not "
                    "say where memory lies";
  }
  hwloc_bitmap_zero(all);
  const int count = AvailableCores();
  const auto devices = CreateCpuDevices(count);
  ASSERT_TRUE(devices.ok()) << devices.status();
  for (const std::unique_ptr<Device>& device : *devices) {
    constexpr int64_t kSize = int64_t{8} << 20;
    const auto arena = device->Allocate(kSize);
    ASSERT_TRUE(arena.ok()) << arena.status();
    std::memset((*arena)->data(), 1, kSize);
    hwloc_bitmap_t memory = hwloc_bitmap_alloc(), near = hwloc_bitmap_alloc(),
                   cores = hwloc_bitmap_alloc();
    std::thread compute([&] {
      EXPECT_TRUE(device->EnterStream(ops::StreamKind::kCompute).ok());
      EXPECT_EQ(hwloc_get_cpubind(topology, cores, HWLOC_CPUBIND_THREAD), 0);
    });
    compute.join();
    EXPECT_FALSE(hwloc_bitmap_intersects(all, cores))
        << device->name() << " has " << ToString(cores) << ", of which others "
        << "have some: " << ToString(all);
    hwloc_bitmap_or(all, all, cores);
    hwloc_cpuset_to_nodeset(topology, cores, near);
    ASSERT_EQ(hwloc_get_area_memlocation(topology, (*arena)->data(), kSize,
                                         memory, HWLOC_MEMBIND_BYNODESET),
              0);
    EXPECT_FALSE(hwloc_bitmap_iszero(memory));
    // On one node all memory is near: that it was asked for can be seen.
    hwloc_membind_policy_t policy = HWLOC_MEMBIND_DEFAULT;
    hwloc_bitmap_t asked = hwloc_bitmap_alloc();
    ASSERT_EQ(hwloc_get_area_membind(topology, (*arena)->data(), kSize, asked,
                                     &policy, HWLOC_MEMBIND_BYNODESET),
              0);
    EXPECT_EQ(policy, HWLOC_MEMBIND_BIND);
    EXPECT_TRUE(hwloc_bitmap_isequal(asked, near));
    hwloc_bitmap_free(asked);
    EXPECT_TRUE(hwloc_bitmap_isincluded(memory, near))
        << device->name() << " lies on nodes " << ToString(memory)
        << ", its cores on " << ToString(near);
    hwloc_bitmap_free(memory);
    hwloc_bitmap_free(near);
    hwloc_bitmap_free(cores);
  }
  hwloc_bitmap_free(all);
  hwloc_topology_destroy(topology);
}

// In processes of their own, since it cannot be taken back: their first part is
// neither all cores nor their last part.
TEST(PartOfCoresTest, PartsAreLessThanAllAndDiffer) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int cores = AvailableCores();
  const std::string all = UsableCores();
  // More parts than cores: all share all.
  EXPECT_TRUE(UsePartOfCores(0, cores + 1).ok());
  EXPECT_EQ(UsableCores(), all);
  if (cores < 2) GTEST_SKIP() << "one core cannot be divided";
  const std::string file = testing::TempDir() + "/first_part";
  auto use = [&](int index) {
    const bool is_ok = UsePartOfCores(index, cores).ok();
    const std::string part = UsableCores();
    std::string first;
    if (index == 0) {
      std::ofstream(file) << part;
    } else {
      std::ifstream(file) >> first;
    }
    std::_Exit(is_ok && part != all && part != first ? 0 : 1);
  };
  EXPECT_EXIT(use(0), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(use(cores - 1), testing::ExitedWithCode(0), "");
  EXPECT_EQ(UsableCores(), all);
}

}  // namespace
}  // namespace facet::runtime
