// What the kernels of pack_regions and unpack_regions do, before the how.
#ifndef FACET_OPS_BOXING_BOXES_H_
#define FACET_OPS_BOXING_BOXES_H_

#include <limits>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "ops/boxing/regions.h"
#include "ops/kernel.h"

namespace facet::ops {

// The boxes of a share; of a scalar, `scalar_boxes`. A share in another layout
// than row-major is only taken apart along dimension 0: its rows are contiguous
// in every layout.
inline std::vector<TensorSlice> Boxes(const Attributes& attributes,
                                      const TensorSlice& share,
                                      int64_t scalar_boxes) {
  absl::StatusOr<std::vector<Region>> regions =
      ParseRegions(attributes.Ints("regions"), share.shape, scalar_boxes);
  CHECK(regions.ok()) << regions.status();  // infer has looked at them.
  std::vector<TensorSlice> boxes;
  for (const Region& region : *regions) {
    for (int i = 1; i < share.shape.rank(); ++i) {
      CHECK(share.layout == Layout::kRowMajor ||
            region.shape[i] == share.shape[i])
          << "box " << region.shape.ToString() << " of "
          << share.shape.ToString() << " in "
          << std::string(LayoutName(share.layout));
    }
    boxes.push_back({share.dtype, Layout::kRowMajor, region.shape, share.shape,
                     region.offset});
  }
  return boxes;
}

// What is done with a piece that arrives where something is.
enum class Combine { kAssign, kSum, kMax };

inline Combine CombineFromAttributes(const Attributes& attributes) {
  const std::string& name = attributes.String("combine");
  return name == "sum"   ? Combine::kSum
         : name == "max" ? Combine::kMax
                         : Combine::kAssign;
}

// The identity of kMax.
inline double Lowest(DataType dtype) {
  switch (dtype) {
    case DataType::kInt32:
      return std::numeric_limits<int32_t>::lowest();
    case DataType::kInt64:  // -2^63, exact.
      return static_cast<double>(std::numeric_limits<int64_t>::lowest());
    default:
      return -std::numeric_limits<double>::infinity();
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_BOXING_BOXES_H_
