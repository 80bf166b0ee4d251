// Layout: how the elements of a rank-4 tensor [N, C, H, W] lie in memory. The
// logical shape stays [N, C, H, W]; every other rank is always row-major. The
// compiler chooses layouts (placement/passes/assign_layout), kernels obey.
#ifndef FACET_OPS_GRAPH_LAYOUT_H_
#define FACET_OPS_GRAPH_LAYOUT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

enum class Layout : uint8_t {
  kRowMajor,      // N C H W
  kChannelsLast,  // N H W C
  kBlocked8,      // N C/8 H W 8: oneDNN's nChw8c, for AVX2. C % 8 == 0.
  kBlocked16,     // N C/16 H W 16: oneDNN's nChw16c, for AVX-512. C % 16 == 0.
};

// "nchw", "nhwc", "nChw8c", "nChw16c".
absl::string_view LayoutName(Layout layout);
absl::StatusOr<Layout> ParseLayout(absl::string_view name);

// Channels per block: 8 or 16 for the blocked layouts, 1 for the others. A
// blocked layout is legal only if C is a multiple of it (no padding exists, so
// every layout of a tensor has the same size in bytes).
int64_t ChannelBlock(Layout layout);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_LAYOUT_H_
