// Collectives between threads of one process: every rank reads its peers'
// buffers directly, so a collective moves no more bytes than it must.
#ifndef FACET_RUNTIME_COLLECTIVES_SHARED_MEMORY_H_
#define FACET_RUNTIME_COLLECTIVES_SHARED_MEMORY_H_

#include <memory>
#include <vector>

#include "runtime/collectives/communicator.h"

namespace facet::runtime {

// One communicator per rank. They share state: any may outlive the others.
// Allocates nothing after this.
std::vector<std::unique_ptr<Communicator>> CreateSharedMemoryCommunicators(
    int size);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_SHARED_MEMORY_H_
