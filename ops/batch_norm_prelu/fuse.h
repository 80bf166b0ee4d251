#ifndef FACET_OPS_BATCH_NORM_PRELU_FUSE_H_
#define FACET_OPS_BATCH_NORM_PRELU_FUSE_H_

#include "absl/status/status.h"
#include "ops/fusion.h"

namespace facet::ops {

// The rule of op batch_norm_prelu; the patterns are in fuse.cc.
absl::Status FuseBatchNormPrelu(FusionContext* context);

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_PRELU_FUSE_H_
