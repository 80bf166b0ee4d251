// ParallelFor for bodies that can fail.
#ifndef FACET_OPS_PARALLEL_STATUS_H_
#define FACET_OPS_PARALLEL_STATUS_H_

#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "ops/parallel.h"

namespace facet::ops {

// ParallelFor over [0, n) for a body that returns a Status; the first error
// (of any thread) is returned, its range is left unfinished.
template <typename Body>
absl::Status ParallelForStatus(int64_t n, int64_t grain, const Body& body) {
  absl::Status first;
  std::once_flag once;
  ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    absl::Status status = body(begin, end);
    if (!status.ok()) std::call_once(once, [&] { first = std::move(status); });
  });
  return first;
}

}  // namespace facet::ops

#endif  // FACET_OPS_PARALLEL_STATUS_H_
