// FetchSink: who receives what a graph reports (op "fetch"): the loss of each
// step, the embeddings of an evaluation.
#ifndef FACET_OPS_FETCH_SINK_H_
#define FACET_OPS_FETCH_SINK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ops/kernel.h"

namespace facet::ops {

// Called from the host stream's thread of each device that holds a share, in
// step order per device. `value` is valid during the call only. An error
// stops the run.
class FetchSink {
 public:
  virtual ~FetchSink() = default;
  virtual absl::Status OnFetch(int64_t step, absl::string_view name, int rank,
                               const TensorView& value) = 0;
};

}  // namespace facet::ops

#endif  // FACET_OPS_FETCH_SINK_H_
