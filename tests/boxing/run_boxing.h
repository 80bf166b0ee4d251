// Runs boxing programs with the real kernels and the real communicators.
#ifndef FACET_TESTS_BOXING_RUN_BOXING_H_
#define FACET_TESTS_BOXING_RUN_BOXING_H_

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"
#include "ops/testing/interpreter.h"
#include "placement/boxing/boxing.h"

namespace facet::placement {

// All programs at once, a thread per device; no device is in two of them. From
// the shares of the sources' devices to those of the destinations'.
absl::StatusOr<std::map<int, ops::HostValue>> RunBoxing(
    const std::vector<BoxingProgram>& programs, const ops::TensorType& type,
    const std::map<int, ops::HostValue>& shares);

// Small integers, which are exact in every type, whatever the order of
// additions.
ops::HostValue IntegersOf(const ops::TensorType& type);

// Fails the test unless they agree; `was_partial_sum`: but for the rounding of
// numbers that were added up.
void ExpectSameValue(const ops::HostValue& got, const ops::HostValue& want,
                     bool was_partial_sum);

}  // namespace facet::placement

#endif  // FACET_TESTS_BOXING_RUN_BOXING_H_
