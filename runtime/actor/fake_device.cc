#include "runtime/actor/fake_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "runtime/collectives/shared_memory.h"

namespace facet::runtime {
namespace {

constexpr int64_t kElements = 16;
constexpr int64_t kWorkspaceBytes = 128;

absl::Status State(const ops::KernelContext& context) {
  std::fill_n(context.outputs[0].as<float>(), kElements, 0.0f);
  return absl::OkStatus();
}

absl::Status Source(const ops::KernelContext& context) {
  return context.data_source->Read(context.step, 0, kElements,
                                   context.outputs[0].as<float>(), nullptr);
}

absl::Status Work(const ops::KernelContext& context) {
  for (int64_t i = 0; i < kElements; ++i) {
    float sum = 0;
    for (const ops::TensorView& input : context.inputs) {
      sum += input.as<float>()[i];
    }
    context.outputs[0].as<float>()[i] = sum;
  }
  if (context.workspace != nullptr) {
    std::memset(context.workspace, 0xff, kWorkspaceBytes);
  }
  return absl::OkStatus();
}

absl::Status Update(const ops::KernelContext& context) {
  for (int64_t i = 0; i < kElements; ++i) {
    context.inputs[0].as<float>()[i] += context.inputs[1].as<float>()[i];
  }
  return absl::OkStatus();
}

absl::Status Report(const ops::KernelContext& context) {
  return context.fetch_sink->OnFetch(context.step, "h", 0, context.inputs[0]);
}

ops::KernelDef Always(absl::Status (*kernel)(const ops::KernelContext&)) {
  ops::KernelDef def;
  def.create = [kernel](const ops::KernelSpec&) -> absl::StatusOr<ops::Kernel> {
    return ops::Kernel(kernel);
  };
  return def;
}

const ops::KernelDef* FindKernel(absl::string_view op) {
  static const auto* const kKernels = new std::map<std::string, ops::KernelDef>{
      {"state", Always(State)},   {"source", Always(Source)},
      {"work", Always(Work)},     {"update", Always(Update)},
      {"report", Always(Report)},
  };
  const auto found = kKernels->find(std::string(op));
  return found == kKernels->end() ? nullptr : &found->second;
}

class HeapArena : public Arena {
 public:
  explicit HeapArena(int64_t size_bytes)
      : data_(std::aligned_alloc(64, (size_bytes + 63) / 64 * 64)),
        size_bytes_(size_bytes) {}
  ~HeapArena() override { std::free(data_); }
  void* data() const override { return data_; }
  int64_t size_bytes() const override { return size_bytes_; }
  int64_t resident_bytes() const override { return size_bytes_; }

 private:
  void* data_;
  int64_t size_bytes_;
};

absl::Status Broken(const char* call) {
  return absl::InternalError(std::string(call) + ": broken");
}

class FakeEvent : public Event {
 public:
  explicit FakeEvent(const FailingCalls* failing) : failing_(failing) {}
  absl::StatusOr<bool> HasPassed() const override {
    if (failing_->has_passed) return Broken("HasPassed");
    return true;
  }
  absl::StatusOr<double> SecondsSince(const Event&) const override { return 0; }

 private:
  const FailingCalls* const failing_;
};

class FakeStream : public Stream {
 public:
  explicit FakeStream(const FailingCalls* failing) : failing_(failing) {}
  absl::Status Record(Event&) override {
    return failing_->record ? Broken("Record") : absl::OkStatus();
  }
  absl::Status Wait(const Event&) override {
    return failing_->wait ? Broken("Wait") : absl::OkStatus();
  }

 private:
  const FailingCalls* const failing_;
};

class FakeDevice : public Device {
 public:
  FakeDevice(std::string name, const FailingCalls* failing)
      : name_(std::move(name)), failing_(failing) {}

  const std::string& name() const override { return name_; }
  const ops::KernelLibrary& kernels() const override {
    static const ops::KernelLibrary kLibrary = {"fake", FindKernel, nullptr};
    return kLibrary;
  }
  bool host_accessible() const override { return true; }
  bool asynchronous() const override { return failing_ != nullptr; }
  absl::StatusOr<std::unique_ptr<Event>> CreateEvent(bool) override {
    return std::make_unique<FakeEvent>(failing_);
  }
  absl::StatusOr<std::unique_ptr<Arena>> Allocate(int64_t size_bytes) override {
    return std::make_unique<HeapArena>(size_bytes);
  }
  absl::Status EnterStream(ops::StreamKind) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind) override {
    if (failing_ != nullptr) return std::make_unique<FakeStream>(failing_);
    return std::make_unique<Stream>();
  }
  absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
  CreateCommunicators(absl::Span<Device* const> group,
                      const RankPlaces&) override {
    return CreateSharedMemoryCommunicators(static_cast<int>(group.size()));
  }
  absl::Status CopyToHost(const void* device, void* host,
                          int64_t size_bytes) override {
    std::memcpy(host, device, size_bytes);
    return absl::OkStatus();
  }
  absl::Status CopyFromHost(const void* host, void* device,
                            int64_t size_bytes) override {
    std::memcpy(device, host, size_bytes);
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  const FailingCalls* const failing_;
};

}  // namespace

std::unique_ptr<Device> CreateFakeDevice(std::string name,
                                         const FailingCalls* failing) {
  return std::make_unique<FakeDevice>(std::move(name), failing);
}

}  // namespace facet::runtime
