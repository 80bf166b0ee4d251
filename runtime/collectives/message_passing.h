// Collectives between CPU devices of several processes, by messages.
#ifndef FACET_RUNTIME_COLLECTIVES_MESSAGE_PASSING_H_
#define FACET_RUNTIME_COLLECTIVES_MESSAGE_PASSING_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/collectives/communicator.h"
#include "runtime/collectives/rank_places.h"

namespace facet::runtime {

// By rank; null where the rank is in another process. Sums are those of
// shared_memory.h to the bit: every rank adds its piece of all ranks' inputs in
// rank order. A rank sends and receives (n - 1) / n of its input, twice in an
// all-reduce, which is the least for n ranks of a process each; ranks that
// share a process send through it like others.
//
// Of large tensors some MiB at a time are under way: the buffers for them (16
// MiB at most, or 8 KiB per rank if that is more) are all that is allocated.
// InvalidArgument if the tags do not suffice.
absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
CreateMessagePassingCommunicators(const RankPlaces& places);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_MESSAGE_PASSING_H_
