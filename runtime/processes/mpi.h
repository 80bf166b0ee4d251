// The processes that a launcher of Open MPI (mpirun, srun) has started.
#ifndef FACET_RUNTIME_PROCESSES_MPI_H_
#define FACET_RUNTIME_PROCESSES_MPI_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/processes/process_group.h"

namespace facet::runtime {

// Once per process, on the main thread, which also destroys it: that waits for
// the others to do so. Null if this process was started alone
// (`mpirun -n 1`, too). A process that
// ends without destroying it ends all. FailedPrecondition if another MPI's
// launcher started it, whose processes would not know of each other.
absl::StatusOr<std::unique_ptr<ProcessGroup>> JoinMpi();

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_PROCESSES_MPI_H_
