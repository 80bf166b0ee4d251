// What mpirun_test starts several times: sends and receives through MPI, checks
// what came, and leaves with 0. The first argument says how.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "runtime/collectives/message_passing.h"
#include "runtime/device/device.h"
#include "runtime/processes/mpi.h"

namespace facet::tests {
namespace {

using ops::DataType;
using runtime::ProcessGroup;

void CheckOk(const absl::Status& status) { CHECK(status.ok()) << status; }

// Each to each, itself too: two messages with one tag, and an empty one.
void Messages(ProcessGroup& processes) {
  const int size = processes.size();
  const int rank = processes.rank();
  const int64_t large = 300001;
  auto value = [&](int from, int to, int which) {
    return static_cast<char>(1 + from + 10 * to + 100 * which);
  };
  std::vector<std::vector<char>> sent, received;
  std::vector<ProcessGroup::Outgoing> outgoing;
  std::vector<ProcessGroup::Incoming> incoming;
  for (int p = 0; p < size; ++p) {
    for (int which : {0, 1}) {
      sent.emplace_back(large, value(rank, p, which));
      received.emplace_back(large);
    }
  }
  for (int p = 0; p < size; ++p) {
    for (int which : {0, 1}) {
      outgoing.push_back({p, 7, sent[2 * p + which].data(), large});
      incoming.push_back({p, 7, received[2 * p + which].data(), large});
    }
    outgoing.push_back({p, ProcessGroup::kMostTag, nullptr, 0});
    incoming.push_back({p, ProcessGroup::kMostTag, nullptr, 0});
  }
  CheckOk(processes.Exchange(outgoing, incoming, absl::OkStatus));
  for (int p = 0; p < size; ++p) {
    for (int which : {0, 1}) {
      for (char c : received[2 * p + which]) {
        CHECK_EQ(c, value(p, rank, which));
      }
    }
  }

  std::string text = rank == 0 ? std::string(100000, 'x') : "another";
  CheckOk(runtime::Broadcast(processes, &text));
  CHECK(text == std::string(100000, 'x'));
  const auto names =
      runtime::AllGather(processes, std::string(rank, 'a' + rank));
  CheckOk(names.status());
  for (int p = 0; p < size; ++p) {
    CHECK((*names)[p] == std::string(p, 'a' + p));
  }
  const auto numbers = runtime::AllGather(processes, 0.5 * rank);
  CheckOk(numbers.status());
  for (int p = 0; p < size; ++p) CHECK_EQ((*numbers)[p], 0.5 * p);

  // Those with an even rank have something in common, and the others.
  const auto share = runtime::ShareOf(processes, rank % 2 == 0 ? "a" : "b");
  CheckOk(share.status());
  CHECK_EQ(share->index, rank / 2);
  CHECK_EQ(share->count, (size + 1 - rank % 2) / 2);
}

void Sum(ProcessGroup& processes) {
  runtime::RankPlaces places;
  places.processes = &processes;
  for (int p = 0; p < processes.size(); ++p) places.process_of.push_back(p);
  const auto ends = runtime::CreateMessagePassingCommunicators(places);
  CheckOk(ends.status());
  runtime::Communicator& end = *(*ends)[processes.rank()];
  runtime::Stream stream;
  std::vector<int32_t> x(3000001);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<int32_t>(i) * (processes.rank() + 1);
  }
  CheckOk(end.AllReduce(stream, runtime::ReduceOp::kSum,
                        {{DataType::kInt32, x.data(), x.data(),
                          static_cast<int64_t>(x.size())}}));
  const int sum = processes.size() * (processes.size() + 1) / 2;
  for (size_t i = 0; i < x.size(); ++i) {
    CHECK_EQ(x[i], static_cast<int32_t>(i) * sum);
  }
}

// Receives what nobody sends, until it has asked often enough.
void GiveUp(ProcessGroup& processes) {
  int asked = 0;
  char byte = 0;
  const absl::Status status = processes.Exchange(
      {}, {{(processes.rank() + 1) % processes.size(), 5, &byte, 1}}, [&] {
        return ++asked > 200 ? absl::CancelledError("enough")
                             : absl::OkStatus();
      });
  CHECK(absl::IsCancelled(status)) << status;
  // Nothing can be relied on after that.
  std::_Exit(processes.rank() == 0 ? 0 : 3);
}

// Process 1 ends the job that the others would wait in for ever.
void Abort(ProcessGroup& processes) {
  if (processes.rank() == 1) processes.Abort();
  char byte = 0;
  CheckOk(processes.Exchange({}, {{1, 5, &byte, 1}}, absl::OkStatus));
}

int Main(const std::string& what) {
  auto processes = runtime::JoinMpi();
  CheckOk(processes.status());
  if (what == "alone") return *processes == nullptr ? 0 : 1;
  CHECK(*processes != nullptr);
  if (what == "messages") Messages(**processes);
  if (what == "sum") Sum(**processes);
  if (what == "give_up") GiveUp(**processes);
  if (what == "abort") Abort(**processes);
  return 0;
}

}  // namespace
}  // namespace facet::tests

int main(int argc, char** argv) {
  CHECK_EQ(argc, 2);
  return facet::tests::Main(argv[1]);
}
