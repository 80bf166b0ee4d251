// Streams, events and graphs: what stands behind their handles, and how work
// gets into a stream.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_STREAM_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_STREAM_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/ordering.h"

namespace cuda_emulation {

// One recording of an event: set when its stream gets there.
class Recording {
 public:
  explicit Recording(Clock clock) : clock_(std::move(clock)) {}

  const Clock& clock() const { return clock_; }
  std::chrono::steady_clock::time_point time() const { return time_; }
  void Set() {
    std::lock_guard<std::mutex> lock(mutex_);
    time_ = std::chrono::steady_clock::now();
    is_set_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return is_set_; });
  }
  bool is_set() {
    std::lock_guard<std::mutex> lock(mutex_);
    return is_set_;
  }

 private:
  const Clock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::steady_clock::time_point time_;
  bool is_set_ = false;
};

}  // namespace cuda_emulation

// Calls of EnqueueOn, to be made again.
struct CUgraph_st {
  struct Node {
    const char* name;
    int device;
    std::vector<cuda_emulation::Access> accesses;
    std::function<void()> work;
  };
  std::vector<Node> nodes;
  bool is_valid = true;
};

// An in-order queue and the thread that works on it.
struct CUstream_st {
 public:
  CUstream_st(int id, int device)
      : id_(id), device_(device), thread_([this] { Main(); }) {}
  ~CUstream_st() {
    Push(nullptr);
    thread_.join();
  }

  int id() const { return id_; }
  int device() const { return device_; }
  // Guarded by the machine's mutex.
  cuda_emulation::Clock* clock() { return &clock_; }

  // What is collected instead of done; null: nothing is. Of the thread that
  // uses the stream.
  CUgraph_st* capture = nullptr;

  // An empty one ends the thread.
  void Push(std::function<void()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(work));
      ++pushed_;
    }
    changed_.notify_all();
  }

  bool idle() {
    std::lock_guard<std::mutex> lock(mutex_);
    return done_ == pushed_;
  }
  uint64_t pushed() {
    std::lock_guard<std::mutex> lock(mutex_);
    return pushed_;
  }
  // Until so many pieces of work are done, of all that were pushed.
  void WaitUntilDone(uint64_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= count; });
  }

 private:
  void Main() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return !queue_.empty(); });
      if (!queue_.front()) return;
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
      ++done_;
      changed_.notify_all();
    }
  }

  const int id_;
  const int device_;
  cuda_emulation::Clock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, as are the next.
  std::deque<std::function<void()>> queue_;
  uint64_t pushed_ = 0;
  uint64_t done_ = 0;
  std::thread thread_;
};

struct CUevent_st {
  int device = 0;
  bool timing = false;
  // Null until the first. Guarded by the machine's mutex.
  std::shared_ptr<cuda_emulation::Recording> recording;
};

namespace cuda_emulation {

// Set when the stream has done what is in it now.
std::shared_ptr<Recording> RecordLocked(CUstream_st* stream);

// Waits for all streams of a device; every host thread knows of it afterwards.
void DrainDevice(int device);

// What a capture does not take: it is of no use any more. False if the stream
// has none.
bool SpoilsCapture(CUstream_st* stream);
// The same of calls that name no stream: they wait or allocate.
bool SpoilsThreadsCapture();
// The stream that this thread captures; null: none.
extern thread_local CUstream_st* captured_stream;

// As Enqueue, but for work of any device. `device`: the one that all of the
// memory must be of; -1 if it may be of any.
cudaError_t EnqueueOn(const char* name, CUstream_st* stream, int device,
                      const std::vector<Access>& accesses,
                      std::function<void()> work);

// What is wrong with these accesses now; empty if all is well.
std::string CheckAccesses(const char* name, int device,
                          const std::vector<Access>& accesses);

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_STREAM_H_
