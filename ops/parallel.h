// ParallelFor: a loop over the cores of the CPU device whose thread calls it.
#ifndef FACET_OPS_PARALLEL_H_
#define FACET_OPS_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace facet::ops {

// Calls body(begin, end) for adjacent ranges that cover [0, n), one per thread
// of the caller's OpenMP team (the runtime sets its size), but no more than
// leave every range at least `grain` long. Which range an index falls in
// depends on the team's size, so a body that reduces must do it per index, not
// per range, if the result is to be the same for any team.
template <typename Body>
void ParallelFor(int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
  const int threads =
      static_cast<int>(std::min<int64_t>(omp_get_max_threads(), most));
  if (threads == 1) {
    body(int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t count = omp_get_num_threads();
    const int64_t index = omp_get_thread_num();
    const int64_t begin = n * index / count;
    const int64_t end = n * (index + 1) / count;
    if (begin < end) body(begin, end);
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_PARALLEL_H_
