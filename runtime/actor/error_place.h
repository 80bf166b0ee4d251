// Where and when an error was, put before what went wrong.
#ifndef FACET_RUNTIME_ACTOR_ERROR_PLACE_H_
#define FACET_RUNTIME_ACTOR_ERROR_PLACE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "ops/op_def.h"
#include "placement/plan/plan.pb.h"

namespace facet::runtime {

// As the user counts them; none: not of a step.
using ErrorStep = std::optional<int64_t>;

// "cuda:0, task conv1 (conv2d), step 12: <message>", with the same code. OK
// stays OK, here and below.
absl::Status WithTask(const absl::Status& status, const placement::Plan& plan,
                      const placement::Task& task, ErrorStep step);

// "cuda:0, stream compute, step 12: <message>": of a stream, and of no task
// that is known.
absl::Status WithStream(const absl::Status& status, const std::string& device,
                        ops::StreamKind stream, ErrorStep step);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_ACTOR_ERROR_PLACE_H_
