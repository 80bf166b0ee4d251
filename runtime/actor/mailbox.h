// Mailbox: how actors on other threads tell a lane that a token has arrived on
// one of its firing edges (placement/plan/firing.h).
#ifndef FACET_RUNTIME_ACTOR_MAILBOX_H_
#define FACET_RUNTIME_ACTOR_MAILBOX_H_

#include <condition_variable>
#include <mutex>
#include <vector>

#include "glog/logging.h"

namespace facet::runtime {

// Any thread may Post; one thread, the owner, takes. Its capacity is reserved
// beforehand and never exceeded, since an edge never carries more tokens than
// the plan's credits allow: posting does not allocate. std::mutex, not
// absl::Mutex: thread sanitizer does not see into the system's Abseil.
class Mailbox {
 public:
  // `capacity`: the most messages that can be waiting.
  explicit Mailbox(size_t capacity) : capacity_(capacity) {
    waiting_.reserve(capacity);
  }

  void Post(int edge) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      CHECK_LT(waiting_.size(), capacity_) << "more tokens than credits";
      waiting_.push_back(edge);
    }
    changed_.notify_one();
  }

  // Wakes the owner without a message: it looks at what it waits for again.
  void Wake() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      woken_ = true;
    }
    changed_.notify_one();
  }

  // Moves all messages to `edges` (cleared first; reserve `capacity`). Waits
  // until there is a message or a Wake; the Wake is consumed.
  void Take(std::vector<int>* edges) {
    edges->clear();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return woken_ || !waiting_.empty(); });
    woken_ = false;
    waiting_.swap(*edges);
  }

  size_t capacity() const { return capacity_; }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> waiting_;  // Guarded by mutex_.
  bool woken_ = false;        // Guarded by mutex_.
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_MAILBOX_H_
