#include "ops/boxing/regions.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace facet::ops {

absl::StatusOr<std::vector<Region>> ParseRegions(
    absl::Span<const int64_t> regions, const Shape& shape,
    int64_t scalar_boxes) {
  const size_t rank = shape.rank();
  if (rank == 0 ? !regions.empty() : regions.size() % (2 * rank) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"regions\" has ", regions.size(), " numbers; a box of ",
        shape.ToString(), " takes ", 2 * rank));
  }
  if (rank == 0) return std::vector<Region>(scalar_boxes);
  std::vector<Region> boxes;
  for (size_t first = 0; first < regions.size(); first += 2 * rank) {
    Region box{Shape(regions.subspan(first, rank)),
               Shape(regions.subspan(first + rank, rank))};
    for (size_t i = 0; i < rank; ++i) {
      if (box.offset[i] < 0 || box.shape[i] < 1 ||
          box.offset[i] + box.shape[i] > shape[i]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "attribute \"regions\" has a box of offsets ",
            box.offset.ToString(), " and extents ", box.shape.ToString(),
            ", which is not inside ", shape.ToString()));
      }
    }
    boxes.push_back(std::move(box));
  }
  return boxes;
}

int64_t NumElements(const std::vector<Region>& regions) {
  int64_t sum = 0;
  for (const Region& region : regions) sum += region.shape.num_elements();
  return sum;
}

}  // namespace facet::ops
