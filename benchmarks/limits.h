// Limits: how near each phase of a training comes to what the machine gives on
// the same primitive in isolation, and where the rest of the time goes.
#ifndef FACET_BENCHMARKS_LIMITS_H_
#define FACET_BENCHMARKS_LIMITS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/primitives.h"
#include "ops/op_def.h"
#include "placement/plan/plan.pb.h"
#include "runtime/trace/timeline.h"

namespace facet::benchmarks {

// One op (or collective) in one phase. A step's, as the mean over devices and
// steps.
struct Work {
  std::string phase;  // As PhaseSeconds names them.
  std::string op;     // "conv2d"; "all_reduce"
  double seconds = 0;
  double least_seconds = 0;  // At the machine's rates.
  // Of all devices together: by definition, whatever the algorithm
  // (convolutions), or bytes that have to move if nothing stays in cache.
  double flops = 0;
  double bytes = 0;
};

// Of steps [first, end). By phase in the order of PhaseSeconds, and within one
// by the seconds that are above the least, the most first. Waiting for other
// devices is no work.
std::vector<Work> FindWork(const placement::Plan& plan,
                           const runtime::Timeline& timeline, int64_t first,
                           int64_t end, const PrimitiveRates& rates,
                           ops::OpLookup find_op);

// The rates, and a table: a line per phase, below it its ops (those of at least
// one percent of a step).
std::string LimitsText(const std::vector<Work>& work,
                       const PrimitiveRates& rates, double step_seconds);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_LIMITS_H_
