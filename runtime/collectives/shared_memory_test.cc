#include "runtime/collectives/shared_memory.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <numeric>
#include <thread>

#include "gtest/gtest.h"
#include "ops/half.h"
#include "runtime/device/device.h"

namespace facet::runtime {
namespace {

using ops::DataType;

Stream stream;  // Has no state.

// Runs `body(communicator)` on one thread per rank.
void OnAllRanks(int size, const std::function<void(Communicator&)>& body) {
  std::vector<std::unique_ptr<Communicator>> communicators =
      CreateSharedMemoryCommunicators(size);
  std::vector<std::thread> threads;
  for (auto& communicator : communicators) {
    threads.emplace_back([&] { body(*communicator); });
  }
  for (std::thread& thread : threads) thread.join();
}

// An arbitrary value of element i of rank r.
float Value(int rank, int64_t i) {
  return static_cast<float>((rank + 1) * 0.37 + (i * 7919 % 1013) * 1e-3);
}

std::vector<float> Values(int rank, int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = Value(rank, i);
  return values;
}

class SharedMemoryTest : public testing::TestWithParam<int> {};

TEST_P(SharedMemoryTest, AllReduceAddsInRankOrderWithTheSameBitsEverywhere) {
  const int size = GetParam();
  for (int64_t count : {0, 1, 3, 5000}) {
    OnAllRanks(size, [&](Communicator& communicator) {
      const std::vector<float> in = Values(communicator.rank(), count);
      std::vector<float> out(count, -1);
      for (int repeat = 0; repeat < 3; ++repeat) {
        ASSERT_TRUE(
            communicator
                .AllReduce(stream, ReduceOp::kSum,
                           {{DataType::kFloat32, in.data(), out.data(), count}})
                .ok());
      }
      for (int64_t i = 0; i < count; ++i) {
        float expected = Value(0, i);
        for (int r = 1; r < size; ++r) expected += Value(r, i);
        ASSERT_EQ(out[i], expected) << i;  // Bits, not nearness.
      }
    });
  }
}

TEST_P(SharedMemoryTest, AllReduceInPlaceAndMax) {
  const int size = GetParam();
  constexpr int64_t kCount = 4099;
  OnAllRanks(size, [&](Communicator& communicator) {
    std::vector<int64_t> data(kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      data[i] = (i + communicator.rank()) % size * 10 + i;
    }
    ASSERT_TRUE(
        communicator
            .AllReduce(stream, ReduceOp::kMax,
                       {{DataType::kInt64, data.data(), data.data(), kCount}})
            .ok());
    for (int64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(data[i], (size - 1) * 10 + i);
    }
  });
}

// Of other types and sizes, some in place: each by itself.
TEST_P(SharedMemoryTest, AllReduceOfSeveralBuffersAtOnce) {
  const int size = GetParam();
  OnAllRanks(size, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    std::vector<float> a = Values(rank, 1001);
    const std::vector<int64_t> b = {rank + 1, -rank, 7};
    std::vector<int64_t> b_sum(3, -1);
    float c = Value(rank, 5);
    const std::vector<ReduceBuffer> buffers = {
        {DataType::kFloat32, a.data(), a.data(), 1001},
        {DataType::kInt64, b.data(), b_sum.data(), 3},
        {DataType::kFloat32, nullptr, nullptr, 0},
        {DataType::kFloat32, &c, &c, 1}};
    ASSERT_TRUE(communicator.AllReduce(stream, ReduceOp::kSum, buffers).ok());
    for (int64_t i = 0; i < 1001; ++i) {
      float expected = Value(0, i);
      for (int r = 1; r < size; ++r) expected += Value(r, i);
      ASSERT_EQ(a[i], expected) << i;
    }
    const int64_t ranks = size * (size - 1) / 2;
    EXPECT_EQ(b_sum, (std::vector<int64_t>{ranks + size, -ranks, 7 * size}));
    float expected = Value(0, 5);
    for (int r = 1; r < size; ++r) expected += Value(r, 5);
    EXPECT_EQ(c, expected);
  });
}

TEST_P(SharedMemoryTest, MaximumKeepsNan) {
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float in = communicator.rank() == communicator.size() / 2 ? nan : 1;
    float out = 0;
    ASSERT_TRUE(communicator
                    .AllReduce(stream, ReduceOp::kMax,
                               {{DataType::kFloat32, &in, &out, 1}})
                    .ok());
    EXPECT_TRUE(out != out);
  });
}

TEST_P(SharedMemoryTest, HalfIsAddedInFloatAndRoundedOnce) {
  const int size = GetParam();
  OnAllRanks(size, [&](Communicator& communicator) {
    // 1 + size * 2^-8: each single addition would be lost in bfloat16.
    const ops::BFloat16 in(communicator.rank() == 0 ? 1.0f : 1.0f / 256);
    ops::BFloat16 out(0.0f);
    ASSERT_TRUE(communicator
                    .AllReduce(stream, ReduceOp::kSum,
                               {{DataType::kBFloat16, &in, &out, 1}})
                    .ok());
    const float sum = 1.0f + (size - 1) / 256.0f;
    EXPECT_EQ(static_cast<float>(out), static_cast<float>(ops::BFloat16(sum)));
  });
}

TEST_P(SharedMemoryTest, AllGatherAndReduceScatterOfUnevenShards) {
  const int size = GetParam();
  std::vector<int64_t> counts(size);
  for (int r = 0; r < size; ++r) counts[r] = r % 3 == 2 ? 0 : 5 + r;
  const int64_t total = std::accumulate(counts.begin(), counts.end(), 0);
  OnAllRanks(size, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    const std::vector<float> in = Values(rank, counts[rank]);
    std::vector<float> gathered(total, -1);
    ASSERT_TRUE(communicator
                    .AllGather(stream, DataType::kFloat32, in.data(),
                               gathered.data(), counts)
                    .ok());
    int64_t position = 0;
    for (int r = 0; r < size; ++r) {
      for (int64_t i = 0; i < counts[r]; ++i, ++position) {
        ASSERT_EQ(gathered[position], Value(r, i));
      }
    }
    const std::vector<float> whole = Values(rank, total);
    std::vector<float> piece(counts[rank], -1);
    ASSERT_TRUE(communicator
                    .ReduceScatter(stream, ReduceOp::kSum, DataType::kFloat32,
                                   whole.data(), piece.data(), counts)
                    .ok());
    const int64_t begin =
        std::accumulate(counts.begin(), counts.begin() + rank, int64_t{0});
    for (int64_t i = 0; i < counts[rank]; ++i) {
      float expected = Value(0, begin + i);
      for (int r = 1; r < size; ++r) expected += Value(r, begin + i);
      ASSERT_EQ(piece[i], expected);
    }
  });
}

TEST_P(SharedMemoryTest, AllToAllWithZeroCounts) {
  const int size = GetParam();
  // Rank s sends (s + 2 * d) % 4 elements, of value 100 s + d, to rank d.
  auto count = [](int s, int d) { return (s + 2 * d) % 4; };
  OnAllRanks(size, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    std::vector<int64_t> send(size), receive(size);
    std::vector<int32_t> in, expected;
    for (int r = 0; r < size; ++r) {
      send[r] = count(rank, r);
      receive[r] = count(r, rank);
      in.insert(in.end(), send[r], 100 * rank + r);
      expected.insert(expected.end(), receive[r], 100 * r + rank);
    }
    std::vector<int32_t> out(expected.size(), -1);
    ASSERT_TRUE(communicator
                    .AllToAll(stream, DataType::kInt32,
                              in.empty() ? nullptr : &in[0],
                              out.empty() ? nullptr : &out[0], send, receive)
                    .ok());
    EXPECT_EQ(out, expected);
  });
}

TEST_P(SharedMemoryTest, AbortWakesWhoWaitsAndRefusesLaterCalls) {
  const int size = GetParam();
  if (size == 1) GTEST_SKIP() << "one rank waits for nobody";
  std::atomic<int> failed{0};
  OnAllRanks(size, [&](Communicator& communicator) {
    if (communicator.rank() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      communicator.Abort(absl::DataLossError("rank 0 broke"));
    }
    float x = 0;
    absl::Status status = communicator.AllReduce(
        stream, ReduceOp::kSum, {{DataType::kFloat32, &x, &x, 1}});
    if (status.code() == absl::StatusCode::kDataLoss) ++failed;
  });
  EXPECT_EQ(failed, size);
}

INSTANTIATE_TEST_SUITE_P(Sizes, SharedMemoryTest,
                         testing::Values(1, 2, 3, 4, 8));

}  // namespace
}  // namespace facet::runtime
