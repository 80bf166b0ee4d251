#include "runtime/actor/fake_device.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "ops/data_source.h"
#include "ops/fetch_sink.h"

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

 private:
  void* data_;
  int64_t size_bytes_;
};

class SynchronousStream : public Stream {
 public:
  void Run(const std::function<absl::Status()>& work,
           const std::function<void(absl::Status)>& done) override {
    done(work());
  }
};

class AsynchronousStream : public Stream {
 public:
  AsynchronousStream() : thread_([this] { Main(); }) {}
  ~AsynchronousStream() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ends_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void Run(const std::function<absl::Status()>& work,
           const std::function<void(absl::Status)>& done) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.emplace_back(work, done);
    }
    changed_.notify_one();
  }

 private:
  void Main() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ends_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto [work, done] = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      done(work());
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, as is the next.
  std::deque<std::pair<std::function<absl::Status()>,
                       std::function<void(absl::Status)>>>
      queue_;
  bool ends_ = false;
  std::thread thread_;
};

class FakeDevice : public Device {
 public:
  FakeDevice(std::string name, bool asynchronous)
      : name_(std::move(name)), asynchronous_(asynchronous) {}

  const std::string& name() const override { return name_; }
  const ops::KernelLibrary& kernels() const override {
    static const ops::KernelLibrary kLibrary = {"fake", FindKernel, nullptr};
    return kLibrary;
  }
  bool host_accessible() const override { return true; }
  absl::StatusOr<std::unique_ptr<Arena>> Allocate(int64_t size_bytes) override {
    return std::make_unique<HeapArena>(size_bytes);
  }
  absl::Status EnterStream(ops::StreamKind) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind) override {
    if (asynchronous_) return std::make_unique<AsynchronousStream>();
    return std::make_unique<SynchronousStream>();
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
  const bool asynchronous_;
};

}  // namespace

std::unique_ptr<Device> CreateFakeDevice(std::string name, bool asynchronous) {
  return std::make_unique<FakeDevice>(std::move(name), asynchronous);
}

}  // namespace facet::runtime
