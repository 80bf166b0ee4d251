// The size of a thread's OpenMP team: CPU kernels use it, and their workspace
// depends on it.
#ifndef FACET_OPS_OPENMP_TEAM_H_
#define FACET_OPS_OPENMP_TEAM_H_

#include <omp.h>

#include <algorithm>

namespace facet::ops {

// Of the calling thread, for what it runs from now on. oneDNN shares out its
// work by the size that was asked for and loses what a smaller team leaves: so
// no more is asked for than will come, whatever OMP_NUM_THREADS, OMP_DYNAMIC
// and OMP_THREAD_LIMIT say.
inline void SetTeam(int threads) {
  omp_set_dynamic(0);
  omp_set_num_threads(std::clamp(threads, 1, omp_get_thread_limit()));
}

}  // namespace facet::ops

#endif  // FACET_OPS_OPENMP_TEAM_H_
