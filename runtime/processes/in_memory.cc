#include "runtime/processes/in_memory.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

using Address = std::tuple<int, int, int>;  // From, to, tag.

// std::mutex, not absl::Mutex: thread sanitizer does not see into the system's
// Abseil.
struct PostOffice {
  explicit PostOffice(int size) : size(size) {}

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex, as is the next.
  std::map<Address, std::deque<std::string>> messages;
  bool aborted = false;
};

class InMemoryProcessGroup : public ProcessGroup {
 public:
  InMemoryProcessGroup(std::shared_ptr<PostOffice> office, int rank)
      : office_(std::move(office)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return office_->size; }

  absl::Status Exchange(
      absl::Span<const Outgoing> outgoing, absl::Span<const Incoming> incoming,
      const std::function<absl::Status()>& interrupted) override {
    std::unique_lock<std::mutex> lock(office_->mutex);
    if (office_->aborted) return Aborted();
    for (const Outgoing& message : outgoing) {
      CHECK(0 <= message.to && message.to < size()) << message.to;
      CHECK(0 <= message.tag && message.tag <= kMostTag) << message.tag;
      const char* data = static_cast<const char*>(message.data);
      office_->messages[{rank_, message.to, message.tag}].emplace_back(
          data, data + message.bytes);
    }
    office_->changed.notify_all();
    for (const Incoming& message : incoming) {
      auto& queue = office_->messages[{message.from, rank_, message.tag}];
      while (queue.empty()) {
        if (office_->aborted) return Aborted();
        RETURN_IF_ERROR(interrupted());
        // Who interrupts wakes nobody here.
        office_->changed.wait_for(lock, std::chrono::milliseconds(5));
      }
      const std::string data = std::move(queue.front());
      queue.pop_front();
      if (static_cast<int64_t>(data.size()) != message.bytes) {
        return absl::FailedPreconditionError(absl::StrCat(
            "process ", rank_, " receives ", message.bytes, " bytes, process ",
            message.from, " sent ", data.size(), " (tag ", message.tag, ")"));
      }
      if (!data.empty()) std::memcpy(message.data, data.data(), data.size());
    }
    return absl::OkStatus();
  }

  void Abort() override {
    std::lock_guard<std::mutex> lock(office_->mutex);
    office_->aborted = true;
    office_->changed.notify_all();
  }

 private:
  static absl::Status Aborted() {
    return absl::AbortedError("another process has failed");
  }

  const std::shared_ptr<PostOffice> office_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<ProcessGroup>> CreateInMemoryProcesses(int size) {
  CHECK_GT(size, 0);
  auto office = std::make_shared<PostOffice>(size);
  std::vector<std::unique_ptr<ProcessGroup>> processes;
  for (int rank = 0; rank < size; ++rank) {
    processes.push_back(std::make_unique<InMemoryProcessGroup>(office, rank));
  }
  return processes;
}

}  // namespace facet::runtime
