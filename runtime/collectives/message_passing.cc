#include "runtime/collectives/message_passing.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"
#include "runtime/collectives/reduce.h"

namespace facet::runtime {
namespace {

using Outgoing = ProcessGroup::Outgoing;
using Incoming = ProcessGroup::Incoming;

// What is under way of one rank's piece. Elements of 8 bytes fit without rest.
int64_t WindowBytes(int ranks) {
  constexpr int64_t kAll = int64_t{8} << 20;
  return std::max<int64_t>(4096, kAll / ranks / 64 * 64);
}

// Of a rank's piece: those are worth a message of their own.
constexpr int64_t kLargeBytes = int64_t{64} << 10;

int64_t AlignUp(int64_t bytes) { return (bytes + 7) / 8 * 8; }

// The pieces of an all-reduce's buffers that `rank` adds up, one behind the
// other, each at a multiple of 8 bytes.
class Piece {
 public:
  Piece(absl::Span<const ReduceBuffer> buffers, int size, int rank)
      : buffers_(buffers), size_(size), rank_(rank) {
    for (const ReduceBuffer& buffer : buffers) {
      bytes_ +=
          AlignUp(RangeOf(buffer).size() * ops::SizeInBytes(buffer.dtype));
    }
  }

  int64_t bytes() const { return bytes_; }
  // Of the window that begins there.
  int64_t BytesFrom(int64_t begin, int64_t window) const {
    return std::clamp<int64_t>(bytes_ - begin, 0, window);
  }

  // visit(buffer, its elements [begin, end), where they are in the window) of
  // all that lie in the window.
  template <typename Visit>
  void ForWindow(int64_t begin, int64_t window, const Visit& visit) const {
    int64_t at = 0;
    for (const ReduceBuffer& buffer : buffers_) {
      if (at >= begin + window) return;
      const int64_t element = ops::SizeInBytes(buffer.dtype);
      const ops::Range range = RangeOf(buffer);
      const int64_t bytes = range.size() * element;
      const int64_t first = std::max(at, begin);
      const int64_t last = std::min(at + bytes, begin + window);
      if (first < last) {
        visit(buffer,
              ops::Range{range.begin + (first - at) / element,
                         range.begin + (last - at) / element},
              first - begin);
      }
      at += AlignUp(bytes);
    }
  }

 private:
  ops::Range RangeOf(const ReduceBuffer& buffer) const {
    return ops::ShardRange(buffer.count, size_, rank_);
  }

  const absl::Span<const ReduceBuffer> buffers_;
  const int size_;
  const int rank_;
  int64_t bytes_ = 0;
};

class MessagePassingCommunicator : public Communicator {
 public:
  MessagePassingCommunicator(const RankPlaces& places, int rank)
      : processes_(places.processes),
        process_of_(places.process_of),
        rank_(rank),
        size_(static_cast<int>(process_of_.size())),
        window_(WindowBytes(size_)),
        send_window_(size_ * window_),
        receive_window_(size_ * window_),
        ins_(size_),
        interrupted_([this] {
          std::lock_guard<std::mutex> lock(mutex_);
          return status_;
        }) {
    for (int r = 0; r < size_; ++r) {
      tag_to_.push_back(places.TagOf(rank, r));
      tag_from_.push_back(places.TagOf(r, rank));
    }
    outgoing_.reserve(2 * size_);
    incoming_.reserve(2 * size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status AllReduce(Stream&, ReduceOp op,
                         absl::Span<const ReduceBuffer> buffers) override {
    small_.clear();
    for (const ReduceBuffer& buffer : buffers) {
      const int64_t bytes = buffer.count * ops::SizeInBytes(buffer.dtype);
      if (bytes < kLargeBytes * size_) {
        small_.push_back(buffer);
      } else {
        RETURN_IF_ERROR(ReduceLarge(op, buffer));
      }
    }
    return ReduceSmall(op, small_);
  }

  absl::Status AllGather(Stream&, ops::DataType dtype, const void* in,
                         void* out, absl::Span<const int64_t> counts) override {
    CHECK_EQ(static_cast<int>(counts.size()), size_);
    const int64_t element = ops::SizeInBytes(dtype);
    char* to = static_cast<char*>(out);
    for (int r = 0; r < size_; ++r) {
      const int64_t bytes = counts[r] * element;
      if (r != rank_) {
        Send(r, in, counts[rank_] * element);
        Receive(r, to, bytes);
      } else if (bytes > 0) {
        std::memcpy(to, in, bytes);
      }
      to += bytes;
    }
    return Exchange();
  }

  absl::Status ReduceScatter(Stream&, ReduceOp op, ops::DataType dtype,
                             const void* in, void* out,
                             absl::Span<const int64_t> counts) override {
    CHECK_EQ(static_cast<int>(counts.size()), size_);
    const int64_t element = ops::SizeInBytes(dtype);
    const int64_t window = window_ / element;  // Elements.
    const int64_t most = *std::max_element(counts.begin(), counts.end());
    for (int64_t begin = 0; begin < most; begin += window) {
      auto part = [&](int r) {
        return std::clamp<int64_t>(counts[r] - begin, 0, window);
      };
      const char* piece = static_cast<const char*>(in);
      for (int r = 0; r < size_; ++r) {
        QueueToReduce(r, piece + begin * element, part(r) * element,
                      part(rank_) * element);
        piece += counts[r] * element;
      }
      RETURN_IF_ERROR(Exchange());
      if (part(rank_) == 0) continue;
      void* to = static_cast<char*>(out) + begin * element;
      ReduceInOrder(op, dtype, ins_, {&to, 1}, 0, part(rank_));
    }
    return absl::OkStatus();
  }

  absl::Status AllToAll(Stream&, ops::DataType dtype, const void* in, void* out,
                        absl::Span<const int64_t> send_counts,
                        absl::Span<const int64_t> receive_counts) override {
    CHECK_EQ(static_cast<int>(send_counts.size()), size_);
    CHECK_EQ(static_cast<int>(receive_counts.size()), size_);
    const int64_t element = ops::SizeInBytes(dtype);
    const char* from = static_cast<const char*>(in);
    char* to = static_cast<char*>(out);
    for (int r = 0; r < size_; ++r) {
      const int64_t sent = send_counts[r] * element;
      const int64_t received = receive_counts[r] * element;
      if (r != rank_) {
        Send(r, from, sent);
        Receive(r, to, received);
      } else if (sent > 0) {
        CHECK_EQ(sent, received);
        std::memcpy(to, from, sent);
      }
      from += sent;
      to += received;
    }
    return Exchange();
  }

  void Abort(absl::Status status) override {
    CHECK(!status.ok());
    std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = std::move(status);
  }

 private:
  char* SendWindow(int r) { return send_window_.data() + r * window_; }
  char* ReceiveWindow(int r) { return receive_window_.data() + r * window_; }

  // Both sides know sizes: what is empty is not sent.
  void Send(int r, const void* data, int64_t bytes) {
    if (bytes == 0) return;
    outgoing_.push_back({process_of_[r], tag_to_[r], data, bytes});
  }
  void Receive(int r, void* data, int64_t bytes) {
    if (bytes == 0) return;
    incoming_.push_back({process_of_[r], tag_from_[r], data, bytes});
  }
  absl::Status Exchange() {
    absl::Status status = interrupted_();
    if (status.ok()) {
      status = processes_->Exchange(outgoing_, incoming_, interrupted_);
    }
    outgoing_.clear();
    incoming_.clear();
    return status;
  }

  // Rank r gets what is at `from` of its piece, this rank theirs of its own,
  // for ins_.
  void QueueToReduce(int r, const char* from, int64_t sent, int64_t received) {
    ins_[r] = r == rank_ ? from : ReceiveWindow(r);
    if (r == rank_) return;
    Send(r, from, sent);
    Receive(r, ReceiveWindow(r), received);
  }

  // From where it lies to where it belongs. While a window is reduced, the
  // window before is sent around.
  absl::Status ReduceLarge(ReduceOp op, const ReduceBuffer& buffer) {
    const int64_t element = ops::SizeInBytes(buffer.dtype);
    const int64_t window = window_ / element;  // Elements.
    const int64_t most = ops::ShardRange(buffer.count, size_, 0).size();
    const char* in = static_cast<const char*>(buffer.in);
    char* out = static_cast<char*>(buffer.out);
    for (int64_t begin = 0; begin < most; begin += window) {
      auto part = [&](int r) {  // Of piece r.
        const ops::Range piece = ops::ShardRange(buffer.count, size_, r);
        const int64_t first = std::min(piece.begin + begin, piece.end);
        return ops::Range{first, std::min(first + window, piece.end)};
      };
      auto bytes = [&](int r) { return part(r).size() * element; };
      for (int r = 0; r < size_; ++r) {
        QueueToReduce(r, in + part(r).begin * element, bytes(r), bytes(rank_));
      }
      RETURN_IF_ERROR(Exchange());
      char* mine = out + part(rank_).begin * element;
      void* to = mine;
      ReduceInOrder(op, buffer.dtype, ins_, {&to, 1}, 0, part(rank_).size());
      for (int r = 0; r < size_; ++r) {
        if (r == rank_) continue;
        Send(r, mine, bytes(rank_));
        Receive(r, out + part(r).begin * element, bytes(r));
      }
    }
    return Exchange();
  }

  // Packed into windows, many at once.
  absl::Status ReduceSmall(ReduceOp op,
                           absl::Span<const ReduceBuffer> buffers) {
    const Piece mine(buffers, size_, rank_);
    // Rank 0 has the largest piece of each.
    const int64_t most = Piece(buffers, size_, 0).bytes();
    for (int64_t begin = 0; begin < most; begin += window_) {
      RETURN_IF_ERROR(ReduceWindow(op, buffers, mine, begin));
      RETURN_IF_ERROR(SpreadWindow(buffers, mine, begin));
    }
    return absl::OkStatus();
  }

  // This rank's piece, reduced, into its own send window.
  absl::Status ReduceWindow(ReduceOp op, absl::Span<const ReduceBuffer> buffers,
                            const Piece& mine, int64_t begin) {
    const int64_t bytes = mine.BytesFrom(begin, window_);
    for (int r = 0; r < size_; ++r) {
      const Piece theirs(buffers, size_, r);
      theirs.ForWindow(
          begin, window_,
          [&](const ReduceBuffer& buffer, ops::Range range, int64_t at) {
            const int64_t e = ops::SizeInBytes(buffer.dtype);
            std::memcpy(SendWindow(r) + at,
                        static_cast<const char*>(buffer.in) + range.begin * e,
                        range.size() * e);
          });
      if (r == rank_) continue;
      Send(r, SendWindow(r), theirs.BytesFrom(begin, window_));
      Receive(r, ReceiveWindow(r), bytes);
    }
    RETURN_IF_ERROR(Exchange());
    mine.ForWindow(
        begin, window_,
        [&](const ReduceBuffer& buffer, ops::Range range, int64_t at) {
          for (int r = 0; r < size_; ++r) {
            ins_[r] = (r == rank_ ? SendWindow(r) : ReceiveWindow(r)) + at;
          }
          void* to = SendWindow(rank_) + at;
          ReduceInOrder(op, buffer.dtype, ins_, {&to, 1}, 0, range.size());
        });
    return absl::OkStatus();
  }

  // The reduced pieces to everybody's outputs.
  absl::Status SpreadWindow(absl::Span<const ReduceBuffer> buffers,
                            const Piece& mine, int64_t begin) {
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      Send(r, SendWindow(rank_), mine.BytesFrom(begin, window_));
      Receive(r, ReceiveWindow(r),
              Piece(buffers, size_, r).BytesFrom(begin, window_));
    }
    RETURN_IF_ERROR(Exchange());
    for (int r = 0; r < size_; ++r) {
      const char* from = r == rank_ ? SendWindow(r) : ReceiveWindow(r);
      Piece(buffers, size_, r)
          .ForWindow(
              begin, window_,
              [&](const ReduceBuffer& buffer, ops::Range range, int64_t at) {
                const int64_t e = ops::SizeInBytes(buffer.dtype);
                std::memcpy(static_cast<char*>(buffer.out) + range.begin * e,
                            from + at, range.size() * e);
              });
    }
    return absl::OkStatus();
  }

  ProcessGroup* const processes_;
  const std::vector<int> process_of_;  // By rank, as all that follow.
  const int rank_;
  const int size_;
  std::vector<int> tag_to_, tag_from_;
  const int64_t window_;  // Bytes per rank.
  std::vector<char> send_window_, receive_window_;
  // Scratch, so that no call allocates.
  std::vector<Outgoing> outgoing_;
  std::vector<Incoming> incoming_;
  std::vector<const void*> ins_;
  std::vector<ReduceBuffer> small_;
  const std::function<absl::Status()> interrupted_;
  std::mutex mutex_;
  absl::Status status_;  // Of Abort. Guarded by mutex_.
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
CreateMessagePassingCommunicators(const RankPlaces& places) {
  CHECK(places.processes != nullptr);
  if (places.first_tag + places.num_tags() - 1 > ProcessGroup::kMostTag) {
    return absl::InvalidArgumentError(absl::StrCat(
        "too many collectives between ", places.MostInOneProcess(),
        " devices per process: use fewer devices in more processes"));
  }
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int rank = 0; rank < static_cast<int>(places.process_of.size());
       ++rank) {
    communicators.push_back(
        places.IsHere(rank)
            ? std::make_unique<MessagePassingCommunicator>(places, rank)
            : nullptr);
  }
  return communicators;
}

}  // namespace facet::runtime
