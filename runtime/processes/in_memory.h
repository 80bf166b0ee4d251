// "Processes" that are threads of one: for tests.
#ifndef FACET_RUNTIME_PROCESSES_IN_MEMORY_H_
#define FACET_RUNTIME_PROCESSES_IN_MEMORY_H_

#include <memory>
#include <vector>

#include "runtime/processes/process_group.h"

namespace facet::runtime {

// One end per process, all of one host. Exchange refuses (FailedPrecondition) a
// message whose size is not what the receiver says. After Abort, of any, all
// exchanges that wait and all later ones are Aborted.
std::vector<std::unique_ptr<ProcessGroup>> CreateInMemoryProcesses(int size);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_PROCESSES_IN_MEMORY_H_
