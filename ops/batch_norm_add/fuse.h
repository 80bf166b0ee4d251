#ifndef FACET_OPS_BATCH_NORM_ADD_FUSE_H_
#define FACET_OPS_BATCH_NORM_ADD_FUSE_H_

#include "absl/status/status.h"
#include "ops/fusion.h"

namespace facet::ops {

// The rules of ops batch_norm_add and batch_norm_grad_input_add; the patterns
// are in fuse.cc.
absl::Status FuseBatchNormAdd(FusionContext* context);
absl::Status FuseBatchNormGradInputAdd(FusionContext* context);

}  // namespace facet::ops

#endif  // FACET_OPS_BATCH_NORM_ADD_FUSE_H_
