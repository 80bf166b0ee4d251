// Emulated NCCL. A collective is a meeting: every rank's stream lays down what
// it sends, waits for the others, makes its own output from theirs, and waits
// again before its input may change.
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "third_party/cuda_emulation/elements.h"
#include "third_party/cuda_emulation/emulation.h"

namespace cuda_emulation {
namespace {

int64_t BytesOf(ncclDataType_t type) {
  switch (type) {
    case ncclInt64:
      return 8;
    case ncclInt32:
    case ncclFloat32:
      return 4;
    default:
      return 2;
  }
}

enum class Kind { kReduce, kBroadcast, kGather, kSend, kReceive };

// One call of one rank.
struct Call {
  const char* name = "";
  Kind kind = Kind::kReduce;
  const char* send = nullptr;
  char* receive = nullptr;
  int64_t send_count = 0;
  int64_t receive_count = 0;
  int64_t offset = 0;  // Of a reduction's output within what is sent.
  ncclDataType_t type = ncclFloat32;
  ncclRedOp_t op = ncclSum;
  int root = -1;  // Or peer.
};

// What the ranks of a communicator share.
class Group {
 public:
  explicit Group(int size) : size_(size), calls_(size) {}

  int size() const { return size_; }
  void Abort() {
    std::lock_guard<std::mutex> lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
  }
  bool aborted() {
    std::lock_guard<std::mutex> lock(mutex_);
    return aborted_;
  }

  void RunCollective(int rank, const Call& call);
  // All of them at once, as a group of calls.
  void RunPointToPoint(int rank, const std::vector<Call>& calls);

 private:
  struct Message {
    const char* data = nullptr;
    int64_t size_bytes = 0;
    std::shared_ptr<bool> taken;
  };

  // False if the communicator was aborted, or nothing can be trusted any more.
  template <typename Condition>
  bool Wait(std::unique_lock<std::mutex>* lock, const Condition& condition);
  // All ranks meet; false as Wait.
  bool Meet(std::unique_lock<std::mutex>* lock);
  std::string Disagreement() const;

  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, as are the next. By rank: what it lays down.
  std::vector<Call> calls_;
  int arrived_ = 0;
  int64_t meeting_ = 0;
  bool aborted_ = false;
  std::map<std::pair<int, int>, std::deque<Message>> messages_;  // From, to.
};

template <typename Condition>
bool Group::Wait(std::unique_lock<std::mutex>* lock,
                 const Condition& condition) {
  // A violation elsewhere wakes nobody: looked for now and then.
  while (!condition()) {
    if (aborted_ || HasViolation()) return false;
    changed_.wait_for(*lock, std::chrono::milliseconds(20));
  }
  return true;
}

bool Group::Meet(std::unique_lock<std::mutex>* lock) {
  if (aborted_) return false;  // Those who came before have left.
  const int64_t meeting = meeting_;
  if (++arrived_ == size_) {
    arrived_ = 0;
    ++meeting_;
    changed_.notify_all();
    return true;
  }
  return Wait(lock, [&] { return meeting_ > meeting; });
}

std::string Group::Disagreement() const {
  for (int r = 1; r < size_; ++r) {
    const Call& a = calls_[0];
    const Call& b = calls_[r];
    if (std::strcmp(a.name, b.name) != 0 || a.type != b.type || a.op != b.op ||
        a.root != b.root || a.send_count != b.send_count) {
      return "rank 0 calls " + std::string(a.name) + " of " +
             std::to_string(a.send_count) + ", rank " + std::to_string(r) +
             " calls " + b.name + " of " + std::to_string(b.send_count) +
             ", or of another type, operation or root";
    }
  }
  return "";
}

template <typename T>
T Combine(ncclRedOp_t op, T a, T b) {
  if (op == ncclSum) return a + b;
  return a > b || a != a ? a : b;
}

// Element i of the reduction, in rank order, to the host.
template <typename T, typename Load, typename Store>
void Reduce(const std::vector<Call>& calls, const Call& own, const Load& load,
            const Store& store, char* out) {
  const int64_t size = BytesOf(own.type);
  for (int64_t i = 0; i < own.receive_count; ++i) {
    T result = {};
    for (size_t r = 0; r < calls.size(); ++r) {
      const char* element = calls[r].send + (own.offset + i) * size;
      ExpectWritten(own.name, element, size);
      const T value = load(Storage(element));
      result = r == 0 ? value : Combine(own.op, result, value);
    }
    store(result, out + i * size);
  }
}

template <typename T>
void ReduceIntegers(const std::vector<Call>& calls, const Call& own,
                    char* out) {
  Reduce<T>(
      calls, own,
      [](const char* from) {
        T value;
        std::memcpy(&value, from, sizeof(value));
        return value;
      },
      [](T value, char* to) { std::memcpy(to, &value, sizeof(value)); }, out);
}

// 16-bit types are reduced in float and rounded once.
void ReduceFloats(const std::vector<Call>& calls, const Call& own, char* out) {
  const cudaDataType_t type = own.type == ncclFloat32   ? CUDA_R_32F
                              : own.type == ncclFloat16 ? CUDA_R_16F
                                                        : CUDA_R_16BF;
  Reduce<float>(
      calls, own, [=](const char* from) { return DecodeElement(from, type); },
      [=](float value, char* to) { EncodeElement(value, type, to); }, out);
}

void CopyDevice(const char* from, char* to, int64_t size_bytes) {
  if (size_bytes == 0 || from == to) return;
  CopyWritten(from, to, size_bytes);
  std::memmove(Storage(to), Storage(from), size_bytes);
}

// Of a communicator that was aborted: what a rank would have received is
// anything, but no error of who reads it, whose results nobody wants.
void LeaveAnything(const Call& call) {
  if (call.receive == nullptr) return;
  MarkWritten(call.receive, call.receive_count * BytesOf(call.type));
}

void Group::RunCollective(int rank, const Call& call) {
  std::unique_lock<std::mutex> lock(mutex_);
  calls_[rank] = call;
  if (!Meet(&lock)) return LeaveAnything(call);
  const std::vector<Call> calls = calls_;
  const std::string wrong = Disagreement();
  lock.unlock();
  const int64_t size = BytesOf(call.type);
  // The output may lie over the input, which the others still read.
  std::vector<char> reduced;
  if (!wrong.empty()) {
    Violation(wrong);
  } else if (call.kind == Kind::kGather) {
    for (int r = 0; r < size_; ++r) {
      CopyDevice(calls[r].send, call.receive + r * call.send_count * size,
                 call.send_count * size);
    }
  } else if (call.kind == Kind::kBroadcast) {
    CopyDevice(calls[call.root].send, call.receive, call.receive_count * size);
  } else {
    reduced.resize(call.receive_count * size);
    if (call.type == ncclInt32) {
      ReduceIntegers<int32_t>(calls, call, reduced.data());
    } else if (call.type == ncclInt64) {
      ReduceIntegers<int64_t>(calls, call, reduced.data());
    } else {
      ReduceFloats(calls, call, reduced.data());
    }
  }
  lock.lock();
  if (!Meet(&lock)) return LeaveAnything(call);
  if (reduced.empty()) return;
  std::memcpy(Storage(call.receive), reduced.data(), reduced.size());
  MarkWritten(call.receive, static_cast<int64_t>(reduced.size()));
}

void Group::RunPointToPoint(int rank, const std::vector<Call>& calls) {
  std::unique_lock<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<bool>> taken;
  for (const Call& call : calls) {
    if (call.kind != Kind::kSend) continue;
    taken.push_back(std::make_shared<bool>(false));
    messages_[{rank, call.root}].push_back(
        {call.send, call.send_count * BytesOf(call.type), taken.back()});
  }
  changed_.notify_all();
  for (const Call& call : calls) {
    if (call.kind != Kind::kReceive) continue;
    std::deque<Message>& from = messages_[{call.root, rank}];
    if (!Wait(&lock, [&] { return !from.empty(); })) {
      for (const Call& other : calls) LeaveAnything(other);
      return;
    }
    const Message message = from.front();
    from.pop_front();
    const int64_t size_bytes = call.receive_count * BytesOf(call.type);
    if (message.size_bytes != size_bytes) {
      Violation("ncclRecv of " + std::to_string(size_bytes) +
                " bytes from a peer that sends " +
                std::to_string(message.size_bytes));
      return;
    }
    CopyDevice(message.data, call.receive, size_bytes);
    *message.taken = true;
    changed_.notify_all();
  }
  for (const std::shared_ptr<bool>& one : taken) {
    if (!Wait(&lock, [&] { return *one; })) return;
  }
}

}  // namespace
}  // namespace cuda_emulation

struct ncclComm {
  int rank = 0;
  std::shared_ptr<cuda_emulation::Group> group;
};

namespace {

using cuda_emulation::Access;
using cuda_emulation::BytesOf;
using cuda_emulation::Call;
using cuda_emulation::Kind;

// What ncclGroupStart collects, on this thread.
struct Collected {
  int depth = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<Call> calls;
};
thread_local Collected collected;

bool IsPointToPoint(const Call& call) {
  return call.kind == Kind::kSend || call.kind == Kind::kReceive;
}

ncclResult_t Start(ncclComm_t comm, cudaStream_t stream,
                   const std::vector<Call>& calls) {
  std::vector<Access> accesses;
  for (const Call& call : calls) {
    const int64_t size = BytesOf(call.type);
    if (call.send != nullptr) {
      accesses.push_back({call.send, call.send_count * size, false});
    }
    if (call.receive != nullptr) {
      accesses.push_back({call.receive, call.receive_count * size, true});
    }
  }
  const cudaError_t error =
      cuda_emulation::Enqueue(calls.front().name, stream, accesses,
                              [calls, rank = comm->rank, group = comm->group] {
                                std::vector<Call> point_to_point;
                                for (const Call& call : calls) {
                                  if (IsPointToPoint(call)) {
                                    point_to_point.push_back(call);
                                  } else {
                                    group->RunCollective(rank, call);
                                  }
                                }
                                group->RunPointToPoint(rank, point_to_point);
                              });
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t Add(const Call& call, ncclComm_t comm, cudaStream_t stream) {
  if (comm == nullptr || call.root >= comm->group->size()) {
    return ncclInvalidArgument;
  }
  if (comm->group->aborted()) return ncclInvalidUsage;
  if (collected.depth == 0) return Start(comm, stream, {call});
  // Facet's groups are of one communicator and one stream.
  if (!collected.calls.empty() &&
      (collected.comm != comm || collected.stream != stream)) {
    return ncclInvalidUsage;
  }
  collected.comm = comm;
  collected.stream = stream;
  collected.calls.push_back(call);
  return ncclSuccess;
}

Call MakeCall(const char* name, Kind kind, const void* send, void* receive,
              size_t send_count, size_t receive_count, ncclDataType_t type) {
  Call call;
  call.name = name;
  call.kind = kind;
  call.send = static_cast<const char*>(send);
  call.receive = static_cast<char*>(receive);
  call.send_count = static_cast<int64_t>(send_count);
  call.receive_count = static_cast<int64_t>(receive_count);
  call.type = type;
  return call;
}

}  // namespace

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int64_t> next{1};
  const int64_t number = next++;
  *id = {};
  std::memcpy(id->internal, &number, sizeof(number));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int count, ncclUniqueId id,
                              int rank) {
  int64_t number = 0;
  std::memcpy(&number, id.internal, sizeof(number));
  if (count < 1 || rank < 0 || rank >= count || number == 0) {
    return ncclInvalidArgument;
  }
  // Until the last rank has come.
  struct Initialising {
    std::shared_ptr<cuda_emulation::Group> group;
    int ranks = 0;
  };
  static std::mutex mutex;
  static std::map<int64_t, Initialising>& all =
      *new std::map<int64_t, Initialising>;
  std::lock_guard<std::mutex> lock(mutex);
  Initialising& one = all[number];
  if (one.group == nullptr) {
    one.group = std::make_shared<cuda_emulation::Group>(count);
  }
  if (one.group->size() != count) return ncclInvalidUsage;
  *comm = new ncclComm{rank, one.group};
  if (++one.ranks == count) all.erase(number);
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclInvalidArgument;
  comm->group->Abort();
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = comm->group->aborted() ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}

ncclResult_t ncclGroupStart() {
  ++collected.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (collected.depth == 0) return ncclInvalidUsage;
  if (--collected.depth > 0 || collected.calls.empty()) return ncclSuccess;
  const Collected group = std::exchange(collected, Collected());
  return Start(group.comm, group.stream, group.calls);
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count,
                           ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                           cudaStream_t stream) {
  Call call = MakeCall("ncclAllReduce", Kind::kReduce, send, receive, count,
                       count, type);
  call.op = op;
  return Add(call, comm, stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, size_t count,
                        ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t stream) {
  const bool is_root = comm != nullptr && comm->rank == root;
  Call call =
      MakeCall("ncclReduce", Kind::kReduce, send, is_root ? receive : nullptr,
               count, is_root ? count : 0, type);
  call.op = op;
  call.root = root;
  return Add(call, comm, stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count,
                           ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const bool is_root = comm != nullptr && comm->rank == root;
  // The others' send buffer is not used; its size is compared.
  Call call = MakeCall("ncclBroadcast", Kind::kBroadcast,
                       is_root ? send : nullptr, receive, count, count, type);
  call.root = root;
  return Add(call, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive,
                               size_t receive_count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream) {
  if (comm == nullptr) return ncclInvalidArgument;
  Call call =
      MakeCall("ncclReduceScatter", Kind::kReduce, send, receive,
               receive_count * comm->group->size(), receive_count, type);
  call.op = op;
  call.offset = comm->rank * static_cast<int64_t>(receive_count);
  return Add(call, comm, stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t send_count,
                           ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  if (comm == nullptr) return ncclInvalidArgument;
  return Add(MakeCall("ncclAllGather", Kind::kGather, send, receive, send_count,
                      send_count * comm->group->size(), type),
             comm, stream);
}

ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type,
                      int peer, ncclComm_t comm, cudaStream_t stream) {
  Call call = MakeCall("ncclSend", Kind::kSend, send, nullptr, count, 0, type);
  call.root = peer;
  return Add(call, comm, stream);
}

ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type,
                      int peer, ncclComm_t comm, cudaStream_t stream) {
  Call call =
      MakeCall("ncclRecv", Kind::kReceive, nullptr, receive, 0, count, type);
  call.root = peer;
  return Add(call, comm, stream);
}
