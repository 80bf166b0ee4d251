#include "third_party/cuda_emulation/grid.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "third_party/cuda_emulation/emulation.h"
#include "third_party/cuda_emulation/fiber.h"

#ifdef __SANITIZE_THREAD__
#error "thread sanitizer must not see fibers: compile with --config=tsan"
#endif

constinit thread_local uint3 threadIdx = {0, 0, 0};
constinit thread_local uint3 blockIdx = {0, 0, 0};
constinit thread_local dim3 blockDim;
constinit thread_local dim3 gridDim;

namespace cuda_emulation {
namespace {

// Threads that wait for each other. Of a block, or of a warp.
struct Barrier {
  std::vector<int> waiting;  // Threads.
  int line = 0;              // Where they wait.
};

struct Warp {
  uint32_t alive = 0;  // Lanes whose thread has not ended.
  Barrier barrier;
  // Lanes that the round of exchange is between; 0: there is none.
  uint32_t mask = 0;
  // What the lanes gave, for two rounds: a lane may still read the last one
  // when others are in the next, but no further.
  uint64_t bits[2][warpSize] = {};
  int round = 0;
};

class Block {
 public:
  void Run(dim3 block, size_t shared_bytes, bool descending,
           const std::function<void()>& body);

  void SyncThreads(int line);
  void SyncWarp(uint32_t mask, int line);
  uint64_t Exchange(uint32_t mask, uint64_t bits, int source, int line);
  uint32_t Ballot(uint32_t mask, bool value, int line);
  void* shared() { return shared_.data(); }

 private:
  struct Worker {
    std::unique_ptr<Fiber> fiber;
    int thread = -1;  // That it is in the middle of.
  };

  void WorkerMain(int worker);
  void Resume(int worker);
  // Not inlined: the fiber that calls it may go on on another thread than
  // before, where thread_local variables lie elsewhere.
  __attribute__((noinline)) void SetThread(int thread);
  // Waits until the barrier is released.
  void Wait(Barrier* barrier, int line);
  void Release(Barrier* barrier);
  // After a thread arrived or ended.
  void ReleaseIfComplete(int warp);
  void ReportDeadlock();

  const std::function<void()>* body_ = nullptr;
  dim3 dim_;
  int num_threads_ = 0;
  bool descending_ = false;
  int started_ = 0;
  int current_ = -1;            // Thread.
  std::vector<int> worker_of_;  // By thread.
  int alive_ = 0;
  Barrier barrier_;
  std::vector<Warp> warps_;
  std::vector<Worker> workers_;
  std::vector<int> idle_;      // Workers.
  std::vector<int> runnable_;  // Threads whose barrier was released.
  std::vector<char> shared_;
};

thread_local Block* current_block = nullptr;

// Blocks whose grid has ended. Their fibers are used again, by any thread: to
// make some hundred for each new stream takes longer than what most kernels do,
// above all under thread sanitizer.
class BlockPool {
 public:
  // Never destroyed: streams may outlive whatever is.
  static BlockPool* Get() {
    static BlockPool* const pool = new BlockPool;
    return pool;
  }
  std::unique_ptr<Block> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  void GiveBack(std::unique_ptr<Block> block) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> free_;  // Guarded by mutex_.
};

void Block::Run(dim3 block, size_t shared_bytes, bool descending,
                const std::function<void()>& body) {
  body_ = &body;
  dim_ = block;
  num_threads_ = static_cast<int>(block.x * block.y * block.z);
  descending_ = descending;
  started_ = 0;
  alive_ = num_threads_;
  worker_of_.assign(num_threads_, -1);
  warps_.assign((num_threads_ + warpSize - 1) / warpSize, Warp());
  for (int t = 0; t < num_threads_; ++t) {
    warps_[t / warpSize].alive |= 1u << (t % warpSize);
  }
  shared_.assign(shared_bytes, '\xff');
  for (;;) {
    if (!runnable_.empty()) {
      const int thread = runnable_.back();
      runnable_.pop_back();
      Resume(worker_of_[thread]);
    } else if (started_ < num_threads_) {
      if (idle_.empty()) {
        const int worker = static_cast<int>(workers_.size());
        workers_.emplace_back();
        workers_.back().fiber =
            std::make_unique<Fiber>([this, worker] { WorkerMain(worker); });
        idle_.push_back(worker);
      }
      const int worker = idle_.back();
      idle_.pop_back();
      Resume(worker);
    } else {
      break;
    }
  }
  if (alive_ > 0) ReportDeadlock();
  body_ = nullptr;
}

// Runs threads one after the other; whoever waits keeps this worker until the
// end of its thread.
void Block::WorkerMain(int worker) {
  for (;;) {
    while (started_ < num_threads_) {
      const int position = started_++;
      const int thread = descending_ ? num_threads_ - 1 - position : position;
      workers_[worker].thread = thread;
      worker_of_[thread] = worker;
      SetThread(thread);
      (*body_)();
      warps_[thread / warpSize].alive &= ~(1u << (thread % warpSize));
      --alive_;
      ReleaseIfComplete(thread / warpSize);
    }
    workers_[worker].thread = -1;
    idle_.push_back(worker);
    workers_[worker].fiber->Suspend();
  }
}

void Block::Resume(int worker) {
  if (workers_[worker].thread >= 0) SetThread(workers_[worker].thread);
  workers_[worker].fiber->Resume();
}

void Block::SetThread(int thread) {
  current_ = thread;
  const unsigned int t = static_cast<unsigned int>(thread);
  threadIdx = {t % dim_.x, t / dim_.x % dim_.y, t / (dim_.x * dim_.y)};
}

void Block::Wait(Barrier* barrier, int line) {
  if (barrier->waiting.empty()) {
    barrier->line = line;
  } else if (barrier->line != line) {
    Violation("waits at the barrier of line " + std::to_string(line) +
              ", others of its block at that of line " +
              std::to_string(barrier->line));
  }
  const int thread = current_;
  barrier->waiting.push_back(thread);
  ReleaseIfComplete(thread / warpSize);
  workers_[worker_of_[thread]].fiber->Suspend();
}

void Block::Release(Barrier* barrier) {
  runnable_.insert(runnable_.end(), barrier->waiting.rbegin(),
                   barrier->waiting.rend());
  barrier->waiting.clear();
}

void Block::ReleaseIfComplete(int warp) {
  Warp& w = warps_[warp];
  if (!w.barrier.waiting.empty() &&
      static_cast<int>(w.barrier.waiting.size()) ==
          std::popcount(w.mask & w.alive)) {
    w.mask = 0;
    ++w.round;
    Release(&w.barrier);
  }
  if (!barrier_.waiting.empty() &&
      static_cast<int>(barrier_.waiting.size()) == alive_) {
    Release(&barrier_);
  }
}

// Stacks of threads that never end are given up, with what lies on them.
void Block::ReportDeadlock() {
  Violation(std::to_string(alive_) + " of " + std::to_string(num_threads_) +
            " threads wait for ever at a barrier that the others do not "
            "reach");
  barrier_.waiting.clear();
  workers_.clear();
  idle_.clear();
}

void Block::SyncThreads(int line) { Wait(&barrier_, line); }

void Block::SyncWarp(uint32_t mask, int line) {
  Warp& warp = warps_[current_ / warpSize];
  if (warp.mask == 0) warp.mask = mask;
  if (warp.mask != mask || (mask >> (current_ % warpSize) & 1) == 0) {
    Violation(
        "its lanes take part in a warp's exchange with different masks, "
        "or with one that lacks their own");
  }
  Wait(&warp.barrier, line);
}

uint64_t Block::Exchange(uint32_t mask, uint64_t bits, int source, int line) {
  Warp& warp = warps_[current_ / warpSize];
  const int lane = current_ % warpSize;
  if ((mask & warp.alive & 1u << source) == 0) {
    Violation("reads lane " + std::to_string(source) +
              " of its warp, which does not take part");
  }
  const int half = warp.round % 2;
  warp.bits[half][lane] = bits;
  SyncWarp(mask, line);
  return warp.bits[half][source];
}

uint32_t Block::Ballot(uint32_t mask, bool value, int line) {
  Warp& warp = warps_[current_ / warpSize];
  const int lane = current_ % warpSize;
  const int half = warp.round % 2;
  warp.bits[half][lane] = value;
  SyncWarp(mask, line);
  uint32_t ballot = 0;
  for (int i = 0; i < warpSize; ++i) {
    if ((mask & 1u << i) == 0) continue;
    if (warp.bits[half][i] != 0) ballot |= 1u << i;
  }
  return ballot;
}

}  // namespace

uint64_t ExchangeInWarp(unsigned int mask, uint64_t bits, int source,
                        int line) {
  return current_block->Exchange(mask, bits, source, line);
}

uint32_t BallotInWarp(unsigned int mask, bool value, int line) {
  return current_block->Ballot(mask, value, line);
}

void* DynamicSharedMemory() { return current_block->shared(); }

void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& body) {
  BlockPool* const pool = BlockPool::Get();
  std::unique_ptr<Block> runner = pool->Take();
  current_block = runner.get();
  gridDim = grid;
  blockDim = block;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t b = 0; b < blocks; ++b) {
    blockIdx = {static_cast<unsigned int>(b % grid.x),
                static_cast<unsigned int>(b / grid.x % grid.y),
                static_cast<unsigned int>(b / grid.x / grid.y)};
    runner->Run(block, shared_bytes, b % 2 == 1, body);
  }
  current_block = nullptr;
  pool->GiveBack(std::move(runner));
}

std::string CurrentThread() {
  if (current_block == nullptr) return "";
  auto text = [](const uint3& i) {
    return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " +
           std::to_string(i.z) + ")";
  };
  return "block " + text(blockIdx) + ", thread " + text(threadIdx) + ": ";
}

}  // namespace cuda_emulation

void __syncthreads(int line) {
  cuda_emulation::current_block->SyncThreads(line);
}

void __syncwarp(unsigned int mask, int line) {
  cuda_emulation::current_block->SyncWarp(mask, line);
}
