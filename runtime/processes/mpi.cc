#include "runtime/processes/mpi.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

// MPI counts in int.
constexpr int64_t kMostBytes = int64_t{1} << 30;

absl::Status ToStatus(int error, absl::string_view call) {
  if (error == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  (void)MPI_Error_string(error, text, &length);
  return absl::UnavailableError(
      absl::StrCat(call, ": ", absl::string_view(text, length)));
}

class MpiProcessGroup : public ProcessGroup {
 public:
  MpiProcessGroup(int rank, int size) : rank_(rank), size_(size) {}
  ~MpiProcessGroup() override { (void)MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status Exchange(
      absl::Span<const Outgoing> outgoing, absl::Span<const Incoming> incoming,
      const std::function<absl::Status()>& interrupted) override {
    // Of the calling thread, so that a steady state allocates nothing.
    thread_local std::vector<MPI_Request> requests;
    requests.clear();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const Incoming& message : incoming) {
        char* data = static_cast<char*>(message.data);
        RETURN_IF_ERROR(InPieces(message.bytes, [&](int64_t at, int bytes) {
          return ToStatus(
              MPI_Irecv(data + at, bytes, MPI_BYTE, message.from, message.tag,
                        MPI_COMM_WORLD, &requests.emplace_back()),
              "MPI_Irecv");
        }));
      }
      for (const Outgoing& message : outgoing) {
        const char* data = static_cast<const char*>(message.data);
        RETURN_IF_ERROR(InPieces(message.bytes, [&](int64_t at, int bytes) {
          return ToStatus(
              MPI_Isend(data + at, bytes, MPI_BYTE, message.to, message.tag,
                        MPI_COMM_WORLD, &requests.emplace_back()),
              "MPI_Isend");
        }));
      }
    }
    return Await(requests, interrupted);
  }

  void Abort() override { (void)MPI_Abort(MPI_COMM_WORLD, 1); }

 private:
  // send(offset, bytes). An empty message is one, too.
  template <typename Send>
  static absl::Status InPieces(int64_t bytes, const Send& send) {
    int64_t at = 0;
    do {
      const int64_t piece = std::min(bytes - at, kMostBytes);
      RETURN_IF_ERROR(send(at, static_cast<int>(piece)));
      at += piece;
    } while (at < bytes);
    return absl::OkStatus();
  }

  // MPI's own waits spin, on cores that compute; this one asks, first often and
  // then less so.
  absl::Status Await(std::vector<MPI_Request>& requests,
                     const std::function<absl::Status()>& interrupted) {
    for (int64_t asked = 0;; ++asked) {
      int done = 0;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        RETURN_IF_ERROR(
            ToStatus(MPI_Testall(static_cast<int>(requests.size()),
                                 requests.data(), &done, MPI_STATUSES_IGNORE),
                     "MPI_Testall"));
      }
      if (done != 0) return absl::OkStatus();
      RETURN_IF_ERROR(interrupted());
      if (asked < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(
            std::chrono::microseconds(asked < 1000 ? 20 : 200));
      }
    }
  }

  // MPI_THREAD_SERIALIZED, which all builds of MPI have. No call under it
  // waits.
  std::mutex mutex_;
  const int rank_;
  const int size_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinMpi() {
  const char* launched = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (launched != nullptr && absl::string_view(launched) == "1") return nullptr;
  if (launched == nullptr && std::getenv("PMIX_RANK") == nullptr) {
    const char* size = std::getenv("PMI_SIZE");
    if (size == nullptr || absl::string_view(size) == "1") return nullptr;
    return absl::FailedPreconditionError(absl::StrCat(
        "started by the launcher of another MPI (PMI_SIZE is ", size,
        "), whose processes this program cannot find: start it with Open "
        "MPI's mpirun, or with srun --mpi=pmix"));
  }
  int provided = MPI_THREAD_SINGLE;
  RETURN_IF_ERROR(ToStatus(
      MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided),
      "MPI_Init_thread"));
  CHECK_GE(provided, MPI_THREAD_SERIALIZED) << "MPI without threads";
  (void)MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0, size = 1;
  (void)MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  (void)MPI_Comm_size(MPI_COMM_WORLD, &size);
  return std::make_unique<MpiProcessGroup>(rank, size);
}

}  // namespace facet::runtime
