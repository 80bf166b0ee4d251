// ProcessGroup: the processes that run one plan together, on one host or many,
// and messages between them. Implementations: mpi.h; in_memory.h for tests.
#ifndef FACET_RUNTIME_PROCESSES_PROCESS_GROUP_H_
#define FACET_RUNTIME_PROCESSES_PROCESS_GROUP_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet::runtime {

// Thread-safe. A process that ends without leaving the group (a crash, an
// error, Abort) ends all others, too.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  virtual int rank() const = 0;  // Of this process.
  virtual int size() const = 0;

  struct Outgoing {
    int to = 0;  // A process, which may be this one.
    int tag = 0;
    const void* data = nullptr;
    int64_t bytes = 0;
  };
  struct Incoming {
    int from = 0;
    int tag = 0;
    void* data = nullptr;
    int64_t bytes = 0;
  };
  // Sends and receives all of them, in no order, and waits for their end.
  // Messages of one sender with one tag arrive in the order in which they were
  // sent; sizes must be what the other side says. Tags: 0 to kMostTag; 0 is
  // for what one thread of each process does in turn, as the functions below.
  //
  // `interrupted` is asked while it waits: an error ends the wait and is
  // returned. What was on its way then may still be read or written, so it is
  // for jobs that end.
  virtual absl::Status Exchange(
      absl::Span<const Outgoing> outgoing, absl::Span<const Incoming> incoming,
      const std::function<absl::Status()>& interrupted) = 0;

  // Ends the other processes without asking, where that can be done this one,
  // too. For errors that have been reported.
  virtual void Abort() = 0;

  static constexpr int kMostTag = 32767;  // The least that MPI promises.
};

// The process that has a plan's device: they have equally many, in order. 0
// where `processes` is null: there is one.
inline int ProcessOfDevice(int device, int num_devices,
                           const ProcessGroup* processes) {
  return processes == nullptr ? 0 : device / (num_devices / processes->size());
}

// Collective: every process calls them, in the same order, from one thread at a
// time. Process 0 sends to each of the others, which suits what is small or
// rare.

// `bytes` of process 0 replace those of the others, of which there are as many.
absl::Status Broadcast(ProcessGroup& processes, absl::Span<char> bytes);
// The same where only process 0 knows how many.
absl::Status Broadcast(ProcessGroup& processes, std::string* bytes);

// What each process says, by rank, on every process.
absl::StatusOr<std::vector<std::string>> AllGather(ProcessGroup& processes,
                                                   const std::string& mine);
absl::StatusOr<std::vector<double>> AllGather(ProcessGroup& processes,
                                              double mine);

// Of this process's host.
std::string HostName();

// Which of `count` processes that have something of their host in common this
// one is.
struct Share {
  int index = 0;
  int count = 1;
};

// Of the processes of this host that call what they may use by the same text.
absl::StatusOr<Share> ShareOf(ProcessGroup& processes, const std::string& what);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_PROCESSES_PROCESS_GROUP_H_
