// Communicator: one rank's end of a group of devices that compute collectives
// together. On contiguous memory of the device; the compiler packs what is
// not. Implementations: shared_memory.h (CPU devices of one process),
// message_passing.h (of several), nccl.h (CUDA devices).
#ifndef FACET_RUNTIME_COLLECTIVES_COMMUNICATOR_H_
#define FACET_RUNTIME_COLLECTIVES_COMMUNICATOR_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ops/graph/data_type.h"

namespace facet::runtime {

class Stream;  // runtime/device/device.h

enum class ReduceOp { kSum, kMax };

// One tensor of an all-reduce.
struct ReduceBuffer {
  ops::DataType dtype = ops::DataType::kFloat32;
  const void* in = nullptr;
  void* out = nullptr;  // May be `in`.
  int64_t count = 0;    // Elements.
};

// Every rank calls the same collectives in the same order, each from the
// thread of its stream. A collective is work of that stream, as a kernel is: on
// a synchronous device a call returns when this rank's output is complete and
// its input may be overwritten. Same inputs and group, same bits, on all ranks.
// How a sum is rounded is the implementation's; those for CPUs add in rank
// order, 16-bit types in float32, and round once.
//
// After Abort (by anybody, any thread) calls that wait, and all later ones,
// return its status: a failure elsewhere ends the job instead of hanging it.
// Who ends a job aborts the ranks of his process; other processes learn of it
// by ProcessGroup::Abort.
// Counts are in elements. In and out may not overlap, except that AllReduce
// may have in == out.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Each buffer by itself, all in one go: the ranks wait for each other once.
  // Types and counts are the same on all ranks.
  virtual absl::Status AllReduce(Stream& stream, ReduceOp op,
                                 absl::Span<const ReduceBuffer> buffers) = 0;
  // out: the ranks' inputs in rank order, counts[r] elements each.
  virtual absl::Status AllGather(Stream& stream, ops::DataType dtype,
                                 const void* in, void* out,
                                 absl::Span<const int64_t> counts) = 0;
  // in: one piece per rank in rank order; out: the reduced piece of this rank.
  virtual absl::Status ReduceScatter(Stream& stream, ReduceOp op,
                                     ops::DataType dtype, const void* in,
                                     void* out,
                                     absl::Span<const int64_t> counts) = 0;
  // in: by destination, send_counts[r] each; out: by source. Zero counts are
  // fine, and `in` or `out` may be null if all of its counts are zero.
  virtual absl::Status AllToAll(Stream& stream, ops::DataType dtype,
                                const void* in, void* out,
                                absl::Span<const int64_t> send_counts,
                                absl::Span<const int64_t> receive_counts) = 0;

  virtual void Abort(absl::Status status) = 0;

  // Why collectives that are under way will not end (a peer is lost), where the
  // implementation learns of it by itself. Any thread, at any time.
  virtual absl::Status Health() { return absl::OkStatus(); }
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_COMMUNICATOR_H_
