// The communicators of CPU devices: of one process by shared memory, of several
// by messages. They promise the same.
#include <chrono>
#include <functional>
#include <limits>
#include <numeric>
#include <ostream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/half.h"
#include "runtime/collectives/message_passing.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/device.h"
#include "runtime/processes/in_memory.h"

namespace facet::runtime {
namespace {

using ops::DataType;

Stream stream;  // Has no state.

struct Ranks {
  int size = 1;
  int processes = 1;
  // "5 ranks in 2 processes": 0, 2, 4 and 1, 3.
  int ProcessOf(int rank) const { return rank % processes; }
};

std::ostream& operator<<(std::ostream& out, const Ranks& ranks) {
  return out << ranks.size << " ranks in " << ranks.processes << " processes";
}

std::vector<std::unique_ptr<Communicator>> CreateCommunicators(
    const Ranks& ranks, absl::Span<const std::unique_ptr<ProcessGroup>> group) {
  if (ranks.processes == 1) return CreateSharedMemoryCommunicators(ranks.size);
  std::vector<std::unique_ptr<Communicator>> all(ranks.size);
  RankPlaces places;
  for (int r = 0; r < ranks.size; ++r) {
    places.process_of.push_back(ranks.ProcessOf(r));
  }
  for (const auto& process : group) {
    places.processes = process.get();
    auto here = CreateMessagePassingCommunicators(places);
    EXPECT_TRUE(here.ok()) << here.status();
    for (int r = 0; r < ranks.size; ++r) {
      EXPECT_EQ((*here)[r] != nullptr, places.IsHere(r));
      if ((*here)[r] != nullptr) all[r] = std::move((*here)[r]);
    }
  }
  return all;
}

// Runs `body(communicator)` on one thread per rank.
void OnAllRanks(const Ranks& ranks,
                const std::function<void(Communicator&)>& body) {
  const auto processes = CreateInMemoryProcesses(ranks.processes);
  const auto communicators = CreateCommunicators(ranks, processes);
  std::vector<std::thread> threads;
  for (const auto& communicator : communicators) {
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

class CpuCommunicatorsTest : public testing::TestWithParam<Ranks> {};

TEST_P(CpuCommunicatorsTest,
       AllReduceAddsInRankOrderWithTheSameBitsEverywhere) {
  const int size = GetParam().size;
  for (int64_t count : {0, 1, 3, 5000}) {
    OnAllRanks(GetParam(), [&](Communicator& communicator) {
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

TEST_P(CpuCommunicatorsTest, AllReduceInPlaceAndMax) {
  const int size = GetParam().size;
  constexpr int64_t kCount = 4099;
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
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
TEST_P(CpuCommunicatorsTest, AllReduceOfSeveralBuffersAtOnce) {
  const int size = GetParam().size;
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
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

TEST_P(CpuCommunicatorsTest, MaximumKeepsNan) {
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

TEST_P(CpuCommunicatorsTest, HalfIsAddedInFloatAndRoundedOnce) {
  const int size = GetParam().size;
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
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

TEST_P(CpuCommunicatorsTest, AllGatherAndReduceScatterOfUnevenShards) {
  const int size = GetParam().size;
  std::vector<int64_t> counts(size);
  for (int r = 0; r < size; ++r) counts[r] = r % 3 == 2 ? 0 : 5 + r;
  const int64_t total = std::accumulate(counts.begin(), counts.end(), 0);
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
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

TEST_P(CpuCommunicatorsTest, AllToAllWithZeroCounts) {
  const int size = GetParam().size;
  // Rank s sends (s + 2 * d) % 4 elements, of value 100 s + d, to rank d.
  auto count = [](int s, int d) { return (s + 2 * d) % 4; };
  OnAllRanks(GetParam(), [&](Communicator& communicator) {
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

TEST_P(CpuCommunicatorsTest, AbortWakesWhoWaitsAndRefusesLaterCalls) {
  const int size = GetParam().size;
  if (size == 1) GTEST_SKIP() << "one rank waits for nobody";
  const auto processes = CreateInMemoryProcesses(GetParam().processes);
  const auto communicators = CreateCommunicators(GetParam(), processes);
  std::vector<absl::Status> statuses(size);
  auto reduce = [&](int rank) {
    float x = 0;
    return communicators[rank]->AllReduce(stream, ReduceOp::kSum,
                                          {{DataType::kFloat32, &x, &x, 1}});
  };
  std::vector<std::thread> threads;
  for (int r = 1; r < size; ++r) {
    threads.emplace_back([&, r] { statuses[r] = reduce(r); });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  // As a session whose rank 0 breaks, and the program that ends for it.
  for (int r = 0; r < size; ++r) {
    if (GetParam().ProcessOf(r) == 0) {
      communicators[r]->Abort(absl::DataLossError("rank 0 broke"));
    }
  }
  for (int r = 1; r < size; ++r) {
    if (GetParam().ProcessOf(r) == 0) threads[r - 1].join();
  }
  processes[0]->Abort();
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
  statuses[0] = reduce(0);
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(statuses[r].code(), GetParam().ProcessOf(r) == 0
                                      ? absl::StatusCode::kDataLoss
                                      : absl::StatusCode::kAborted)
        << r << ": " << statuses[r];
  }
}

// More than what is under way at once, in place, of two types. Some pieces end
// within a window, and some begin in one.
TEST(MessagePassingTest, LargeTensorsGoInWindows) {
  constexpr int64_t kFloats = 2600003;
  constexpr int64_t kHalves = 1900001;
  for (const Ranks& ranks : {Ranks{2, 2}, Ranks{3, 2}}) {
    OnAllRanks(ranks, [&](Communicator& communicator) {
      const int rank = communicator.rank();
      const int size = communicator.size();
      std::vector<ops::BFloat16> halves(kHalves);
      for (int64_t i = 0; i < kHalves; ++i) {
        halves[i] = ops::BFloat16(static_cast<float>((i + rank) % 8));
      }
      std::vector<float> floats = Values(rank, kFloats);
      ASSERT_TRUE(
          communicator
              .AllReduce(
                  stream, ReduceOp::kSum,
                  {{DataType::kBFloat16, halves.data(), halves.data(), kHalves},
                   {DataType::kFloat32, floats.data(), floats.data(), kFloats}})
              .ok());
      int64_t wrong = 0;
      for (int64_t i = 0; i < kHalves; ++i) {
        float expected = 0;
        for (int r = 0; r < size; ++r) {
          expected += static_cast<float>((i + r) % 8);
        }
        wrong += static_cast<float>(halves[i]) != expected ? 1 : 0;
      }
      for (int64_t i = 0; i < kFloats; ++i) {
        float expected = Value(0, i);
        for (int r = 1; r < size; ++r) expected += Value(r, i);
        wrong += floats[i] != expected ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0);
      // The pieces differ: one rank is done before the others.
      std::vector<int64_t> counts(size, 3);
      counts[1] = kFloats - 3 * (size - 1);
      std::vector<float> piece(counts[rank]);
      ASSERT_TRUE(communicator
                      .ReduceScatter(stream, ReduceOp::kMax, DataType::kFloat32,
                                     floats.data(), piece.data(), counts)
                      .ok());
      const auto begin =
          floats.begin() +
          std::accumulate(counts.begin(), counts.begin() + rank, int64_t{0});
      EXPECT_TRUE(std::equal(piece.begin(), piece.end(), begin));
    });
  }
}

TEST(MessagePassingTest, SaysWhenTagsDoNotSuffice) {
  const auto processes = CreateInMemoryProcesses(2);
  RankPlaces places;
  places.processes = processes[0].get();
  places.process_of.assign(200, 0);
  places.process_of.resize(400, 1);
  EXPECT_EQ(CreateMessagePassingCommunicators(places).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Each group has messages of its own: one that waits does not take another's.
TEST(MessagePassingTest, GroupsDoNotMeet) {
  const auto processes = CreateInMemoryProcesses(2);
  std::vector<std::thread> threads;
  for (const auto& process : processes) {
    for (int group : {0, 1}) {
      threads.emplace_back([&, group] {
        RankPlaces places;
        places.processes = process.get();
        places.process_of = {0, 1};
        places.first_tag += group * places.num_tags();
        const auto ends = CreateMessagePassingCommunicators(places);
        ASSERT_TRUE(ends.ok()) << ends.status();
        Communicator& end = *(*ends)[process->rank()];
        for (int i = 0; i < 100; ++i) {
          int32_t x = group == 0 ? i : 1000;
          ASSERT_TRUE(end.AllReduce(stream, ReduceOp::kSum,
                                    {{DataType::kInt32, &x, &x, 1}})
                          .ok());
          ASSERT_EQ(x, group == 0 ? 2 * i : 2000);
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Sizes, CpuCommunicatorsTest,
                         testing::Values(Ranks{1, 1}, Ranks{2, 1}, Ranks{3, 1},
                                         Ranks{4, 1}, Ranks{8, 1}, Ranks{2, 2},
                                         Ranks{4, 4}, Ranks{5, 2}, Ranks{8, 4}),
                         [](const testing::TestParamInfo<Ranks>& info) {
                           return absl::StrCat(info.param.size, "RanksIn",
                                               info.param.processes,
                                               "Processes");
                         });

}  // namespace
}  // namespace facet::runtime
