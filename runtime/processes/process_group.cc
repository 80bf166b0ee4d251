#include "runtime/processes/process_group.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

using Outgoing = ProcessGroup::Outgoing;
using Incoming = ProcessGroup::Incoming;

absl::Status Exchange(ProcessGroup& processes,
                      absl::Span<const Outgoing> outgoing,
                      absl::Span<const Incoming> incoming) {
  return processes.Exchange(outgoing, incoming, absl::OkStatus);
}

}  // namespace

absl::Status Broadcast(ProcessGroup& processes, absl::Span<char> bytes) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (processes.rank() != 0) {
    return Exchange(processes, {}, {{0, 0, bytes.data(), size}});
  }
  std::vector<Outgoing> messages;
  for (int p = 1; p < processes.size(); ++p) {
    messages.push_back({p, 0, bytes.data(), size});
  }
  return Exchange(processes, messages, {});
}

absl::Status Broadcast(ProcessGroup& processes, std::string* bytes) {
  int64_t size = static_cast<int64_t>(bytes->size());
  RETURN_IF_ERROR(Broadcast(
      processes, absl::MakeSpan(reinterpret_cast<char*>(&size), sizeof(size))));
  bytes->resize(size);
  return Broadcast(processes, absl::MakeSpan(bytes->data(), bytes->size()));
}

absl::StatusOr<std::vector<std::string>> AllGather(ProcessGroup& processes,
                                                   const std::string& mine) {
  std::vector<std::string> all(processes.size());
  if (processes.rank() != 0) {
    int64_t size = static_cast<int64_t>(mine.size());
    RETURN_IF_ERROR(
        Exchange(processes,
                 {{0, 0, &size, sizeof(size)}, {0, 0, mine.data(), size}}, {}));
  } else {
    std::vector<int64_t> sizes(processes.size());
    std::vector<Incoming> messages;
    for (int p = 1; p < processes.size(); ++p) {
      messages.push_back({p, 0, &sizes[p], sizeof(sizes[p])});
    }
    RETURN_IF_ERROR(Exchange(processes, {}, messages));
    messages.clear();
    all[0] = mine;
    for (int p = 1; p < processes.size(); ++p) {
      all[p].resize(sizes[p]);
      messages.push_back({p, 0, all[p].data(), sizes[p]});
    }
    RETURN_IF_ERROR(Exchange(processes, {}, messages));
  }
  for (std::string& one : all) RETURN_IF_ERROR(Broadcast(processes, &one));
  return all;
}

absl::StatusOr<std::vector<double>> AllGather(ProcessGroup& processes,
                                              double mine) {
  std::string bytes(sizeof(mine), '\0');
  std::memcpy(bytes.data(), &mine, sizeof(mine));
  ASSIGN_OR_RETURN(const std::vector<std::string> all,
                   AllGather(processes, bytes));
  std::vector<double> values(all.size());
  for (size_t p = 0; p < all.size(); ++p) {
    CHECK_EQ(all[p].size(), sizeof(double));
    std::memcpy(&values[p], all[p].data(), sizeof(double));
  }
  return values;
}

std::string HostName() {
  char name[256] = "";
  (void)gethostname(name, sizeof(name) - 1);
  return name;
}

absl::StatusOr<Share> ShareOf(ProcessGroup& processes,
                              const std::string& what) {
  const std::string mine = absl::StrCat(HostName(), " ", what);
  ASSIGN_OR_RETURN(const std::vector<std::string> all,
                   AllGather(processes, mine));
  const auto self = all.begin() + processes.rank();
  return Share{static_cast<int>(std::count(all.begin(), self, mine)),
               static_cast<int>(std::count(all.begin(), all.end(), mine))};
}

}  // namespace facet::runtime
