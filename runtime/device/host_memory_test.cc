#include "runtime/device/host_memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "gtest/gtest.h"

namespace facet::runtime {
namespace {

TEST(HostMemoryTest, CountsWhatIsTouched) {
  constexpr int64_t kSize = int64_t{64} << 20;
  // Sanitizers keep shadows of what is touched: an eighth and more.
  constexpr int64_t kSlack = kSize / 2;
  void* const data = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(data, MAP_FAILED);
  const int64_t before = ProcessResidentBytes();
  ASSERT_GT(before, 0);
  EXPECT_EQ(ResidentBytes(data, kSize), 0);
  std::memset(data, 1, kSize);
  EXPECT_EQ(ResidentBytes(data, kSize), kSize);
  EXPECT_NEAR(ProcessResidentBytes(), before + kSize, kSlack);
  EXPECT_GE(ProcessPeakBytes() + kSlack, before + kSize);
  munmap(data, kSize);
  EXPECT_NEAR(ProcessResidentBytes(), before, kSlack);
  EXPECT_GE(ProcessPeakBytes() + kSlack, before + kSize);  // It is a peak.
  EXPECT_GT(AvailableHostMemoryBytes(), 0);
}

// What is freed stays, also in blocks that would go back one by one.
TEST(HostMemoryTest, TheHeapIsKept) {
  constexpr size_t kSize = size_t{24} << 20;
  if (mallinfo2().uordblks == 0) {
    GTEST_SKIP() << "a sanitizer's allocator takes no advice";
  }
  KeepHeapInHugePages();
  void* volatile block = std::malloc(kSize);
  std::memset(block, 1, kSize);
  const int64_t before = ProcessResidentBytes();
  std::free(block);
  EXPECT_GT(ProcessResidentBytes(), before - static_cast<int64_t>(kSize) / 2);
}

}  // namespace
}  // namespace facet::runtime
