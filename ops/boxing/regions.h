// The attribute "regions" of pack_regions and unpack_regions.
#ifndef FACET_OPS_BOXING_REGIONS_H_
#define FACET_OPS_BOXING_REGIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ops/graph/shape.h"
#include "ops/graph/shard.h"

namespace facet::ops {

// Boxes of a tensor of this shape, from their offsets and extents, one box
// after the other: {0, 2, 3, 4} is rows 0 to 2, columns 2 to 5 of a matrix. A
// box of a scalar is written as nothing at all, so `scalar_boxes` says how
// many there are then. InvalidArgument for a box that is not inside the shape.
absl::StatusOr<std::vector<Region>> ParseRegions(
    absl::Span<const int64_t> regions, const Shape& shape,
    int64_t scalar_boxes);

// Of all boxes together.
int64_t NumElements(const std::vector<Region>& regions);

}  // namespace facet::ops

#endif  // FACET_OPS_BOXING_REGIONS_H_
