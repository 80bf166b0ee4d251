// NCCL's communicators against those of shared memory, on GPUs or emulated.
#include "runtime/collectives/nccl.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/half.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/cuda_device.h"
#include "runtime/processes/in_memory.h"

namespace facet::runtime {
namespace {

using ops::DataType;

// One rank's call on its device's memory.
using Call = std::function<absl::Status(Communicator& communicator,
                                        Stream& stream, void* in, void* out)>;

// One per rank.
using Buffers = std::vector<std::vector<char>>;

// What the ranks have in `outs` after `call` on the host.
Buffers OnHost(Buffers ins, Buffers outs, const Call& call) {
  auto communicators =
      CreateSharedMemoryCommunicators(static_cast<int>(ins.size()));
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ins.size(); ++r) {
    threads.emplace_back([&, r] {
      Stream stream;
      EXPECT_TRUE(
          call(*communicators[r], stream, ins[r].data(), outs[r].data()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outs;
}

// Devices in "processes" that are threads of this one.
struct Ranks {
  int size = 1;
  int processes = 1;
};

class NcclTest : public testing::TestWithParam<Ranks> {
 protected:
  void SetUp() override {
    const auto available = CudaDevices();
    ASSERT_TRUE(available.ok()) << available.status();
    if (static_cast<int>(available->size()) < size()) {
      GTEST_SKIP() << "this machine has " << available->size()
                   << " CUDA devices, the case needs " << size();
    }
    auto devices = CreateCudaDevices(size());
    ASSERT_TRUE(devices.ok()) << devices.status();
    devices_ = *std::move(devices);
    for (const auto& device : devices_) pointers_.push_back(device.get());
    communicators_.resize(size());
    processes_ = CreateInMemoryProcesses(GetParam().processes);
    std::vector<std::thread> threads;
    for (const auto& process : processes_) {
      threads.emplace_back([&] { CreateThoseOf(process.get()); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // The rest first: rank 0 is not in process 0.
  int ProcessOf(int rank) const { return (rank + 1) % GetParam().processes; }

  void CreateThoseOf(ProcessGroup* process) {
    RankPlaces places;
    if (GetParam().processes > 1) places.processes = process;
    std::vector<Device*> devices = pointers_;
    for (int r = 0; r < size(); ++r) {
      places.process_of.push_back(ProcessOf(r));
      if (!places.IsHere(r)) devices[r] = nullptr;
    }
    auto communicators = pointers_[0]->CreateCommunicators(devices, places);
    ASSERT_TRUE(communicators.ok()) << communicators.status();
    for (int r = 0; r < size(); ++r) {
      ASSERT_EQ((*communicators)[r] != nullptr, places.IsHere(r));
      if (places.IsHere(r)) communicators_[r] = std::move((*communicators)[r]);
    }
  }

  int size() const { return GetParam().size; }

  // What the ranks have after `call` on their devices.
  Buffers OnDevices(const Buffers& ins, Buffers outs, const Call& call) {
    std::vector<std::thread> threads;
    for (int r = 0; r < size(); ++r) {
      threads.emplace_back([&, r] {
        const absl::Status status = OnDevice(r, ins[r], &outs[r], call);
        EXPECT_TRUE(status.ok()) << status;
      });
    }
    for (std::thread& thread : threads) thread.join();
    return outs;
  }

  // Without `out`, which is as large as `in` then, what comes of it is left.
  absl::Status OnDevice(int rank, const std::vector<char>& in,
                        std::vector<char>* out, const Call& call) {
    Device& device = *devices_[rank];
    absl::Status status = device.EnterStream(ops::StreamKind::kCommunication);
    if (!status.ok()) return status;
    auto stream = device.CreateStream(ops::StreamKind::kCommunication);
    auto in_arena = device.Allocate(static_cast<int64_t>(in.size()));
    auto out_arena = device.Allocate(
        static_cast<int64_t>(out == nullptr ? in.size() : out->size()));
    if (!stream.ok() || !in_arena.ok() || !out_arena.ok()) {
      return absl::InternalError("the device does not start");
    }
    status = device.CopyFromHost(in.data(), (*in_arena)->data(),
                                 static_cast<int64_t>(in.size()));
    if (!status.ok()) return status;
    status = call(*communicators_[rank], **stream, (*in_arena)->data(),
                  (*out_arena)->data());
    if (!status.ok()) return status;
    status = (*stream)->Synchronize();
    if (!status.ok() || out == nullptr) return status;
    return device.CopyToHost((*out_arena)->data(), out->data(),
                             static_cast<int64_t>(out->size()));
  }

  // Integers: any order of adding gives the same.
  Buffers Integers(const std::vector<int64_t>& counts) const {
    Buffers buffers;
    for (size_t r = 0; r < counts.size(); ++r) {
      std::vector<int32_t> values(counts[r]);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<int32_t>((r + 3) * 1009 * (i + 1) % 1000);
      }
      buffers.emplace_back(values.size() * 4);
      if (!values.empty()) {
        std::memcpy(buffers.back().data(), values.data(), values.size() * 4);
      }
    }
    return buffers;
  }
  Buffers Empty(const std::vector<int64_t>& counts) const {
    Buffers buffers;
    for (int64_t count : counts) buffers.emplace_back(count * 4);
    return buffers;
  }
  void ExpectSame(const std::vector<int64_t>& in_counts,
                  const std::vector<int64_t>& out_counts, const Call& call) {
    const Buffers ins = Integers(in_counts);
    EXPECT_EQ(OnDevices(ins, Empty(out_counts), call),
              OnHost(ins, Empty(out_counts), call));
  }
  std::vector<int64_t> All(int64_t count) const {
    return std::vector<int64_t>(size(), count);
  }
  // 5, 8, 0, 11: different, with an empty one among four.
  std::vector<int64_t> Uneven() const {
    const std::vector<int64_t> counts = {5, 8, 0, 11};
    return {counts.begin(), counts.begin() + size()};
  }

  std::vector<std::unique_ptr<ProcessGroup>> processes_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<Device*> pointers_;
  std::vector<std::unique_ptr<Communicator>> communicators_;
};

INSTANTIATE_TEST_SUITE_P(Sizes, NcclTest,
                         testing::Values(Ranks{1, 1}, Ranks{2, 1}, Ranks{3, 1},
                                         Ranks{4, 1}, Ranks{2, 2}, Ranks{3, 3},
                                         Ranks{4, 2}),
                         [](const testing::TestParamInfo<Ranks>& info) {
                           return std::to_string(info.param.size) + "RanksIn" +
                                  std::to_string(info.param.processes) +
                                  "Processes";
                         });

TEST_P(NcclTest, AllReduce) {
  for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax}) {
    ExpectSame(All(37), All(37),
               [op](Communicator& c, Stream& s, void* in, void* out) {
                 return c.AllReduce(s, op, {{DataType::kInt32, in, out, 37}});
               });
  }
}

TEST_P(NcclTest, AllReduceOfSeveralTensorsAndInPlace) {
  ExpectSame(
      All(12), All(12), [](Communicator& c, Stream& s, void* in, void* out) {
        int32_t* from = static_cast<int32_t*>(in);
        int32_t* to = static_cast<int32_t*>(out);
        absl::Status status =
            c.AllReduce(s, ReduceOp::kSum,
                        {{DataType::kInt32, from, to, 4},
                         {DataType::kInt32, from + 4, to + 4, 8},
                         {DataType::kInt32, from + 12, to + 12, 0}});
        if (!status.ok()) return status;
        return c.AllReduce(s, ReduceOp::kMax, {{DataType::kInt32, to, to, 12}});
      });
}

TEST_P(NcclTest, HalvesAreReduced) {
  const std::vector<ops::Float16> ones(9, ops::Float16(1.5f));
  const auto* bytes = reinterpret_cast<const char*>(ones.data());
  const Buffers ins(size(), {bytes, bytes + 18});
  const Buffers outs =
      OnDevices(ins, Buffers(size(), std::vector<char>(18)),
                [](Communicator& c, Stream& s, void* in, void* out) {
                  return c.AllReduce(s, ReduceOp::kSum,
                                     {{DataType::kFloat16, in, out, 9}});
                });
  for (const std::vector<char>& out : outs) {
    ops::Float16 value;
    std::memcpy(&value, out.data() + 16, 2);
    EXPECT_EQ(static_cast<float>(value), 1.5f * static_cast<float>(size()));
  }
}

TEST_P(NcclTest, AllGather) {
  for (const std::vector<int64_t>& counts : {All(6), Uneven(), All(0)}) {
    const int64_t total =
        std::accumulate(counts.begin(), counts.end(), int64_t{0});
    ExpectSame(counts, All(total),
               [&](Communicator& c, Stream& s, void* in, void* out) {
                 return c.AllGather(s, DataType::kInt32, in, out, counts);
               });
  }
}

TEST_P(NcclTest, ReduceScatter) {
  for (const std::vector<int64_t>& counts : {All(6), Uneven(), All(0)}) {
    const int64_t total =
        std::accumulate(counts.begin(), counts.end(), int64_t{0});
    ExpectSame(All(total), counts,
               [&](Communicator& c, Stream& s, void* in, void* out) {
                 return c.ReduceScatter(s, ReduceOp::kSum, DataType::kInt32, in,
                                        out, counts);
               });
  }
}

// Rank a sends (a + 2 b) % 4 elements to rank b: some send nothing.
TEST_P(NcclTest, AllToAll) {
  auto count = [](int from, int to) { return int64_t{(from + 2 * to) % 4}; };
  std::vector<int64_t> sent(size(), 0), received(size(), 0);
  for (int a = 0; a < size(); ++a) {
    for (int b = 0; b < size(); ++b) {
      sent[a] += count(a, b);
      received[b] += count(a, b);
    }
  }
  ExpectSame(sent, received,
             [&](Communicator& c, Stream& s, void* in, void* out) {
               std::vector<int64_t> send, receive;
               for (int r = 0; r < size(); ++r) {
                 send.push_back(count(c.rank(), r));
                 receive.push_back(count(r, c.rank()));
               }
               return c.AllToAll(s, DataType::kInt32, in, out, send, receive);
             });
}

TEST_P(NcclTest, AbortEndsWhatWaitsOnTheDeviceAndLaterCalls) {
  if (size() == 1) GTEST_SKIP() << "one rank waits for nobody";
  // Rank 0 never comes.
  const Buffers ins = Integers(All(4));
  std::vector<std::thread> threads;
  for (int r = 1; r < size(); ++r) {
    threads.emplace_back([&, r] {
      // It waits on the device or comes too late: both end.
      (void)OnDevice(r, ins[r], nullptr,
                     [](Communicator& c, Stream& s, void* in, void* to) {
                       return c.AllReduce(s, ReduceOp::kSum,
                                          {{DataType::kInt32, in, to, 4}});
                     });
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const auto& communicator : communicators_) {
    communicator->Abort(absl::DataLossError("rank 0 broke"));
  }
  for (std::thread& thread : threads) thread.join();
  Stream stream;
  EXPECT_EQ(communicators_[1]->AllReduce(stream, ReduceOp::kSum, {}).code(),
            absl::StatusCode::kDataLoss);
}

TEST_P(NcclTest, WhoLosesAPeerLearnsOfIt) {
  if (size() == 1) GTEST_SKIP() << "one rank has no peers";
  for (const auto& communicator : communicators_) {
    EXPECT_TRUE(communicator->Health().ok());
  }
  communicators_[0]->Abort(absl::DataLossError("rank 0 broke"));
  EXPECT_EQ(communicators_[0]->Health().code(), absl::StatusCode::kDataLoss);
  const absl::Status health = communicators_[1]->Health();
  EXPECT_THAT(std::string(health.message()),
              testing::HasSubstr("remote process exited"));
}

}  // namespace
}  // namespace facet::runtime
