// The fuse rule of margin_softmax. See fuse.cc for the pattern.
#ifndef FACET_OPS_MARGIN_SOFTMAX_FUSE_H_
#define FACET_OPS_MARGIN_SOFTMAX_FUSE_H_

#include "absl/status/status.h"
#include "ops/fusion.h"

namespace facet::ops {

// Rewrites every complete occurrence; leaves all others as they are.
absl::Status FuseMarginSoftmax(FusionContext* context);

}  // namespace facet::ops

#endif  // FACET_OPS_MARGIN_SOFTMAX_FUSE_H_
