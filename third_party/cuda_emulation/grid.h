// Executes a kernel: block by block, the threads of a block on fibers.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_GRID_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_GRID_H_

#include <functional>
#include <string>

#include "cuda_runtime.h"

namespace cuda_emulation {

// Calls body() once per thread with threadIdx and the like set, on the calling
// thread. A thread runs until it ends or waits at a barrier, so that one that
// never waits costs a call. Every second block runs its threads in descending
// order: a missing barrier shows in one of the two.
void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& body);

// "block (1, 0, 0), thread (17, 0, 0): ", empty outside of a kernel.
std::string CurrentThread();

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_GRID_H_
