// A session whose communicators learn, while it waits, that a peer is lost.
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/collectives/communicator.h"
#include "runtime/device/cpu_device.h"
#include "runtime/session.h"
#include "tests/session/small_session.h"

namespace facet::runtime {
namespace {

using testing::HasSubstr;

// What the network of all devices does.
struct Network {
  std::atomic<bool> is_lost{false};
  std::function<void()> on_abort;  // By anybody.
};

// Collectives as they are; Health is the network's.
class WatchedCommunicator : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, Network* network)
      : inner_(std::move(inner)), network_(network) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  absl::Status AllReduce(Stream& stream, ReduceOp op,
                         absl::Span<const ReduceBuffer> buffers) override {
    return inner_->AllReduce(stream, op, buffers);
  }
  absl::Status AllGather(Stream& stream, ops::DataType dtype, const void* in,
                         void* out, absl::Span<const int64_t> counts) override {
    return inner_->AllGather(stream, dtype, in, out, counts);
  }
  absl::Status ReduceScatter(Stream& stream, ReduceOp op, ops::DataType dtype,
                             const void* in, void* out,
                             absl::Span<const int64_t> counts) override {
    return inner_->ReduceScatter(stream, op, dtype, in, out, counts);
  }
  absl::Status AllToAll(Stream& stream, ops::DataType dtype, const void* in,
                        void* out, absl::Span<const int64_t> send_counts,
                        absl::Span<const int64_t> receive_counts) override {
    return inner_->AllToAll(stream, dtype, in, out, send_counts,
                            receive_counts);
  }
  void Abort(absl::Status status) override {
    inner_->Abort(std::move(status));
    network_->on_abort();
  }
  absl::Status Health() override {
    return network_->is_lost ? absl::UnavailableError("the cable was pulled")
                             : absl::OkStatus();
  }

 private:
  const std::unique_ptr<Communicator> inner_;
  Network* const network_;
};

// A CPU device with such communicators.
class WatchedDevice : public Device {
 public:
  WatchedDevice(std::unique_ptr<Device> inner, Network* network)
      : inner_(std::move(inner)), network_(network) {}

  const std::string& name() const override { return inner_->name(); }
  const ops::KernelLibrary& kernels() const override {
    return inner_->kernels();
  }
  bool host_accessible() const override { return inner_->host_accessible(); }
  absl::StatusOr<std::unique_ptr<Arena>> Allocate(int64_t size_bytes) override {
    return inner_->Allocate(size_bytes);
  }
  absl::Status EnterStream(ops::StreamKind kind) override {
    return inner_->EnterStream(kind);
  }
  absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind kind) override {
    return inner_->CreateStream(kind);
  }
  absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
  CreateCommunicators(absl::Span<Device* const> group,
                      const RankPlaces& places) override {
    std::vector<Device*> inner;
    for (Device* device : group) {
      inner.push_back(static_cast<WatchedDevice*>(device)->inner_.get());
    }
    auto communicators = inner_->CreateCommunicators(inner, places);
    if (!communicators.ok()) return communicators;
    for (std::unique_ptr<Communicator>& one : *communicators) {
      one = std::make_unique<WatchedCommunicator>(std::move(one), network_);
    }
    return communicators;
  }
  absl::Status CopyToHost(const void* device, void* host,
                          int64_t size_bytes) override {
    return inner_->CopyToHost(device, host, size_bytes);
  }
  absl::Status CopyFromHost(const void* host, void* device,
                            int64_t size_bytes) override {
    return inner_->CopyFromHost(host, device, size_bytes);
  }

 private:
  const std::unique_ptr<Device> inner_;
  Network* const network_;
};

TEST(LostPeerTest, EndsTheRunInsteadOfStallingIt) {
  World world;
  Network network;
  // Nothing goes on, so that no collective finds out by itself, until somebody
  // gives the job up.
  world.block_at = 1;
  network.on_abort = [&] { world.Release(); };
  const placement::Plan plan = SmallPlan(2, /*split_weight=*/true);
  auto inner = CreateCpuDevices(2);
  ASSERT_TRUE(inner.ok()) << inner.status();
  std::vector<std::unique_ptr<Device>> owned;
  std::vector<Device*> devices;
  for (std::unique_ptr<Device>& device : *inner) {
    owned.push_back(
        std::make_unique<WatchedDevice>(std::move(device), &network));
    devices.push_back(owned.back().get());
  }
  SessionOptions options;
  options.data_source = &world;
  options.fetch_sink = &world;
  options.stall_timeout = absl::Minutes(1);
  auto session = Session::Create(plan, devices, options);
  ASSERT_TRUE(session.ok()) << session.status();

  std::thread loss([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    network.is_lost = true;
  });
  const absl::Status status = (*session)->Run(3);
  loss.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the cable was pulled"));
  EXPECT_EQ((*session)->Run(1), status);
}

}  // namespace
}  // namespace facet::runtime
