#include "runtime/collectives/nccl.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/cuda_error.h"
#include "ops/status_macros.h"
#include "runtime/device/device.h"

namespace facet::runtime {
namespace {

absl::Status ToStatus(ncclResult_t result, absl::string_view call) {
  if (result == ncclSuccess) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      call, ": ", ncclGetErrorString(result),
      " (with NCCL_DEBUG=WARN in the environment NCCL says more)"));
}

ncclDataType_t TypeOf(ops::DataType dtype) {
  switch (dtype) {
    case ops::DataType::kFloat32:
      return ncclFloat32;
    case ops::DataType::kFloat16:
      return ncclFloat16;
    case ops::DataType::kBFloat16:
      return ncclBfloat16;
    case ops::DataType::kInt32:
      return ncclInt32;
    case ops::DataType::kInt64:
      return ncclInt64;
  }
  LOG(FATAL) << "no such type";
}

ncclRedOp_t OpOf(ReduceOp op) {
  return op == ReduceOp::kMax ? ncclMax : ncclSum;
}

bool AllEqual(absl::Span<const int64_t> counts) {
  return std::all_of(counts.begin(), counts.end(),
                     [&](int64_t count) { return count == counts[0]; });
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(ncclComm_t comm, int rank, int size)
      : comm_(comm), rank_(rank), size_(size) {}
  ~NcclCommunicator() override {
    if (comm_ != nullptr) (void)ncclCommDestroy(comm_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status AllReduce(Stream& stream, ReduceOp op,
                         absl::Span<const ReduceBuffer> buffers) override {
    return InGroup(stream, [&](const Call& to) -> absl::Status {
      for (const ReduceBuffer& b : buffers) {
        if (b.count == 0) continue;
        RETURN_IF_ERROR(
            ToStatus(ncclAllReduce(b.in, b.out, b.count, TypeOf(b.dtype),
                                   OpOf(op), to.comm, to.stream),
                     "ncclAllReduce"));
      }
      return absl::OkStatus();
    });
  }

  absl::Status AllGather(Stream& stream, ops::DataType dtype, const void* in,
                         void* out, absl::Span<const int64_t> counts) override {
    const ncclDataType_t type = TypeOf(dtype);
    return InGroup(stream, [&](const Call& to) -> absl::Status {
      if (AllEqual(counts)) {
        if (counts[0] == 0) return absl::OkStatus();
        return ToStatus(
            ncclAllGather(in, out, counts[0], type, to.comm, to.stream),
            "ncclAllGather");
      }
      char* piece = static_cast<char*>(out);
      for (int r = 0; r < size_; ++r) {
        if (counts[r] == 0) continue;
        RETURN_IF_ERROR(
            ToStatus(ncclBroadcast(r == rank_ ? in : piece, piece, counts[r],
                                   type, r, to.comm, to.stream),
                     "ncclBroadcast"));
        piece += counts[r] * ops::SizeInBytes(dtype);
      }
      return absl::OkStatus();
    });
  }

  absl::Status ReduceScatter(Stream& stream, ReduceOp op, ops::DataType dtype,
                             const void* in, void* out,
                             absl::Span<const int64_t> counts) override {
    const ncclDataType_t type = TypeOf(dtype);
    return InGroup(stream, [&](const Call& to) -> absl::Status {
      if (AllEqual(counts)) {
        if (counts[0] == 0) return absl::OkStatus();
        return ToStatus(ncclReduceScatter(in, out, counts[0], type, OpOf(op),
                                          to.comm, to.stream),
                        "ncclReduceScatter");
      }
      const char* piece = static_cast<const char*>(in);
      for (int r = 0; r < size_; ++r) {
        if (counts[r] == 0) continue;
        RETURN_IF_ERROR(
            ToStatus(ncclReduce(piece, r == rank_ ? out : nullptr, counts[r],
                                type, OpOf(op), r, to.comm, to.stream),
                     "ncclReduce"));
        piece += counts[r] * ops::SizeInBytes(dtype);
      }
      return absl::OkStatus();
    });
  }

  absl::Status AllToAll(Stream& stream, ops::DataType dtype, const void* in,
                        void* out, absl::Span<const int64_t> send_counts,
                        absl::Span<const int64_t> receive_counts) override {
    const ncclDataType_t type = TypeOf(dtype);
    const int64_t element = ops::SizeInBytes(dtype);
    return InGroup(stream, [&](const Call& to) -> absl::Status {
      const char* from_here = static_cast<const char*>(in);
      char* to_here = static_cast<char*>(out);
      for (int r = 0; r < size_; ++r) {
        if (send_counts[r] > 0) {
          RETURN_IF_ERROR(ToStatus(
              ncclSend(from_here, send_counts[r], type, r, to.comm, to.stream),
              "ncclSend"));
          from_here += send_counts[r] * element;
        }
        if (receive_counts[r] > 0) {
          RETURN_IF_ERROR(ToStatus(
              ncclRecv(to_here, receive_counts[r], type, r, to.comm, to.stream),
              "ncclRecv"));
          to_here += receive_counts[r] * element;
        }
      }
      return absl::OkStatus();
    });
  }

  absl::Status Health() override {
    // Held by a call or by Abort: they find out themselves.
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return absl::OkStatus();
    return status_.ok() ? AsyncError() : status_;
  }

  void Abort(absl::Status status) override {
    CHECK(!status.ok());
    std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return;
    status_ = std::move(status);
    // Its kernels on the device end, those of its peers when they abort.
    (void)ncclCommAbort(comm_);
    comm_ = nullptr;
  }

 private:
  struct Call {
    ncclComm_t comm;
    cudaStream_t stream;
  };

  // Of collectives that are in streams already. Under mutex_.
  absl::Status AsyncError() {
    ncclResult_t earlier = ncclSuccess;
    RETURN_IF_ERROR(ToStatus(ncclCommGetAsyncError(comm_, &earlier),
                             "ncclCommGetAsyncError"));
    return ToStatus(earlier, "an earlier collective");
  }

  // Puts what `calls` calls into the stream as one. The lock keeps Abort from
  // freeing the communicator meanwhile: putting work into a stream is short.
  template <typename Calls>
  absl::Status InGroup(Stream& stream, const Calls& calls) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return status_;
    RETURN_IF_ERROR(AsyncError());
    RETURN_IF_ERROR(ToStatus(ncclGroupStart(), "ncclGroupStart"));
    const absl::Status status = calls({comm_, stream.cuda()->stream()});
    const absl::Status end = ToStatus(ncclGroupEnd(), "ncclGroupEnd");
    return status.ok() ? end : status;
  }

  std::mutex mutex_;
  ncclComm_t comm_;      // Guarded by mutex_, as is the next. Null: aborted.
  absl::Status status_;  // Of Abort.
  const int rank_;
  const int size_;
};

// One for all ranks: made in the process of rank 0, which sends it to those of
// the others.
absl::StatusOr<ncclUniqueId> ShareUniqueId(const RankPlaces& places) {
  ncclUniqueId id = {};
  if (places.IsHere(0)) {
    RETURN_IF_ERROR(ToStatus(ncclGetUniqueId(&id), "ncclGetUniqueId"));
  }
  if (places.AllHere()) return id;
  const int root = places.process_of[0];
  std::vector<ProcessGroup::Outgoing> outgoing;
  std::vector<ProcessGroup::Incoming> incoming;
  if (places.IsHere(0)) {
    std::vector<int> others = places.process_of;
    std::sort(others.begin(), others.end());
    others.erase(std::unique(others.begin(), others.end()), others.end());
    for (int process : others) {
      if (process == root) continue;
      outgoing.push_back({process, places.first_tag, &id, sizeof(id)});
    }
  } else {
    incoming.push_back({root, places.first_tag, &id, sizeof(id)});
  }
  RETURN_IF_ERROR(
      places.processes->Exchange(outgoing, incoming, absl::OkStatus));
  return id;
}

// Of the ranks that are here.
absl::Status InitRanks(absl::Span<const int> devices, const ncclUniqueId& id,
                       std::vector<ncclComm_t>* comms) {
  const int size = static_cast<int>(devices.size());
  for (int rank = 0; rank < size; ++rank) {
    if (devices[rank] < 0) continue;
    RETURN_IF_CUDA_ERROR(cudaSetDevice(devices[rank]));
    RETURN_IF_ERROR(ToStatus(ncclCommInitRank(&(*comms)[rank], size, id, rank),
                             "ncclCommInitRank"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
CreateNcclCommunicators(absl::Span<const int> devices,
                        const RankPlaces& places) {
  CHECK(!devices.empty());
  // Connections are made now, together, and not in the first collective: there
  // a rank would wait for the others, out of Abort's reach.
  setenv("NCCL_RUNTIME_CONNECT", "0", /*overwrite=*/0);
  const int size = static_cast<int>(devices.size());
  std::vector<ncclComm_t> comms(size);
  ASSIGN_OR_RETURN(const ncclUniqueId id, ShareUniqueId(places));
  // Together: each waits for the others.
  RETURN_IF_ERROR(ToStatus(ncclGroupStart(), "ncclGroupStart"));
  const absl::Status status = InitRanks(devices, id, &comms);
  const absl::Status end = ToStatus(ncclGroupEnd(), "ncclGroupEnd");
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(end);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int rank = 0; rank < size; ++rank) {
    communicators.push_back(
        devices[rank] < 0
            ? nullptr
            : std::make_unique<NcclCommunicator>(comms[rank], rank, size));
  }
  return communicators;
}

}  // namespace facet::runtime
