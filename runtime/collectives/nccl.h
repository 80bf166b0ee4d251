// Collectives between CUDA devices, of one process or several, by NCCL.
#ifndef FACET_RUNTIME_COLLECTIVES_NCCL_H_
#define FACET_RUNTIME_COLLECTIVES_NCCL_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/collectives/communicator.h"
#include "runtime/collectives/rank_places.h"

namespace facet::runtime {

// One communicator per device (CUDA's numbers, all different), by rank; null
// where the device is -1: in another process, which calls this, too. Each runs
// on the CUDA stream that it is given. Uneven shards go as one broadcast
// or reduction per rank, all in one group; NCCL adds in the order of its rings
// and trees, the same in every run of one machine. Abort ends what waits on the
// devices, too. Health asks NCCL, which sees a lost network connection.
absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
CreateNcclCommunicators(absl::Span<const int> devices,
                        const RankPlaces& places);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_NCCL_H_
