// The fuse rule of cosine_softmax.
#ifndef FACET_OPS_COSINE_SOFTMAX_FUSE_H_
#define FACET_OPS_COSINE_SOFTMAX_FUSE_H_

#include "absl/status/status.h"
#include "ops/fusion.h"

namespace facet::ops {

absl::Status FuseCosineSoftmax(FusionContext* context);

}  // namespace facet::ops

#endif  // FACET_OPS_COSINE_SOFTMAX_FUSE_H_
