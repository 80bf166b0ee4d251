#include "runtime/collectives/shared_memory.h"

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"
#include "runtime/collectives/reduce.h"

namespace facet::runtime {
namespace {

// What the ranks share. A collective is: publish my buffers, meet, do my part
// of the work on everybody's buffers, meet again. Between the two meetings the
// published fields are only read. std::mutex, not absl::Mutex: thread
// sanitizer does not see into the system's Abseil.
class Group {
 public:
  explicit Group(int size)
      : ins(size), buffers(size), send_counts(size), size_(size) {}

  int size() const { return size_; }

  // Returns when all ranks have come, or with the status of Abort.
  absl::Status Meet() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!status_.ok()) return status_;
    const int64_t generation = generation_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++generation_;
      all_here_.notify_all();
      return absl::OkStatus();
    }
    all_here_.wait(lock,
                   [&] { return generation_ != generation || !status_.ok(); });
    return generation_ != generation ? absl::OkStatus() : status_;
  }

  void Abort(absl::Status status) {
    CHECK(!status.ok());
    std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = std::move(status);
    all_here_.notify_all();
  }

  // By rank; written by their rank before the first meeting.
  std::vector<const void*> ins;
  std::vector<absl::Span<const ReduceBuffer>> buffers;
  std::vector<absl::Span<const int64_t>> send_counts;

 private:
  const int size_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  int arrived_ = 0;         // Guarded by mutex_, as are the next two.
  int64_t generation_ = 0;  // Meetings so far.
  absl::Status status_;
};

int64_t Sum(absl::Span<const int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

class SharedMemoryCommunicator : public Communicator {
 public:
  SharedMemoryCommunicator(std::shared_ptr<Group> group, int rank)
      : group_(std::move(group)),
        rank_(rank),
        pieces_(group_->size()),
        outs_(group_->size()) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }

  absl::Status AllReduce(Stream&, ReduceOp op,
                         absl::Span<const ReduceBuffer> buffers) override {
    group_->buffers[rank_] = buffers;
    RETURN_IF_ERROR(group_->Meet());
    for (size_t b = 0; b < buffers.size(); ++b) {
      for (int r = 0; r < size(); ++r) {
        const absl::Span<const ReduceBuffer> theirs = group_->buffers[r];
        CHECK(theirs.size() == buffers.size() &&
              theirs[b].count == buffers[b].count &&
              theirs[b].dtype == buffers[b].dtype)
            << "all-reduce: rank " << r << " has other buffers than rank "
            << rank_;
        pieces_[r] = theirs[b].in;
        outs_[r] = theirs[b].out;
      }
      const ops::Range mine = ops::ShardRange(buffers[b].count, size(), rank_);
      ReduceInOrder(op, buffers[b].dtype, pieces_, outs_, mine.begin, mine.end);
    }
    return group_->Meet();
  }

  absl::Status AllGather(Stream&, ops::DataType dtype, const void* in,
                         void* out, absl::Span<const int64_t> counts) override {
    CHECK_EQ(static_cast<int>(counts.size()), size());
    RETURN_IF_ERROR(Publish(in, {}));
    char* to = static_cast<char*>(out);
    for (int r = 0; r < size(); ++r) {
      const int64_t bytes = counts[r] * ops::SizeInBytes(dtype);
      if (bytes > 0) std::memcpy(to, group_->ins[r], bytes);
      to += bytes;
    }
    return group_->Meet();
  }

  absl::Status ReduceScatter(Stream&, ReduceOp op, ops::DataType dtype,
                             const void* in, void* out,
                             absl::Span<const int64_t> counts) override {
    CHECK_EQ(static_cast<int>(counts.size()), size());
    RETURN_IF_ERROR(Publish(in, {}));
    const int64_t skip =
        Sum(counts.subspan(0, rank_)) * ops::SizeInBytes(dtype);
    for (int r = 0; r < size(); ++r) {
      pieces_[r] = static_cast<const char*>(group_->ins[r]) + skip;
    }
    ReduceInOrder(op, dtype, pieces_, {&out, 1}, 0, counts[rank_]);
    return group_->Meet();
  }

  absl::Status AllToAll(Stream&, ops::DataType dtype, const void* in, void* out,
                        absl::Span<const int64_t> send_counts,
                        absl::Span<const int64_t> receive_counts) override {
    CHECK_EQ(static_cast<int>(send_counts.size()), size());
    CHECK_EQ(static_cast<int>(receive_counts.size()), size());
    RETURN_IF_ERROR(Publish(in, send_counts));
    const int64_t element = ops::SizeInBytes(dtype);
    char* to = static_cast<char*>(out);
    for (int r = 0; r < size(); ++r) {
      const absl::Span<const int64_t> theirs = group_->send_counts[r];
      CHECK_EQ(theirs[rank_], receive_counts[r])
          << "all-to-all: rank " << r << " sends another count than rank "
          << rank_ << " expects";
      const int64_t bytes = receive_counts[r] * element;
      const int64_t skip = Sum(theirs.subspan(0, rank_)) * element;
      if (bytes > 0) {
        std::memcpy(to, static_cast<const char*>(group_->ins[r]) + skip, bytes);
      }
      to += bytes;
    }
    return group_->Meet();
  }

  void Abort(absl::Status status) override { group_->Abort(std::move(status)); }

 private:
  absl::Status Publish(const void* in, absl::Span<const int64_t> send_counts) {
    group_->ins[rank_] = in;
    group_->send_counts[rank_] = send_counts;
    return group_->Meet();
  }

  std::shared_ptr<Group> group_;
  const int rank_;
  // Scratch, by rank, so that no call allocates.
  std::vector<const void*> pieces_;
  std::vector<void*> outs_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> CreateSharedMemoryCommunicators(
    int size) {
  CHECK_GT(size, 0);
  auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int rank = 0; rank < size; ++rank) {
    communicators.push_back(
        std::make_unique<SharedMemoryCommunicator>(group, rank));
  }
  return communicators;
}

}  // namespace facet::runtime
