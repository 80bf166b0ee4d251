#include "ops/testing/mesh_shares.h"

#include <utility>

#include "glog/logging.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// The same values as the part of something else.
HostValue As(const HostValue& value, const Shape& global_shape,
             const Shape& offset) {
  TensorSlice slice = value.slice();
  slice.global_shape = global_shape;
  slice.offset = offset;
  HostValue result(slice);
  result.FromDoubles(value.ToDoubles());
  return result;
}

HostValue AsWhole(const HostValue& value) {
  const Shape& shape = value.slice().shape;
  return As(value, shape, WholeRegion(shape).offset);
}

// Side by side along the dimension that is split, if one is.
absl::StatusOr<HostValue> JoinAlongAxis(std::vector<HostValue> shares,
                                        Sbp sbp) {
  Shape joined = shares[0].slice().shape;
  if (sbp.is_split()) {
    joined[sbp.axis] = 0;
    for (const HostValue& share : shares) {
      joined[sbp.axis] += share.slice().shape[sbp.axis];
    }
  }
  Shape offset = WholeRegion(joined).offset;
  for (HostValue& share : shares) {
    share = As(share, joined, offset);
    if (sbp.is_split()) offset[sbp.axis] += share.slice().shape[sbp.axis];
  }
  return JoinShares(shares, sbp);
}

}  // namespace

HostValue TakeMeshShare(const HostValue& whole, const NdSbp& sbp,
                        const Mesh& mesh, int device) {
  HostValue share = whole.Copy();
  for (int a = 0; a < mesh.num_axes(); ++a) {
    share = TakeShare(AsWhole(share), sbp[a], mesh.sizes[a],
                      mesh.Coordinate(device, a));
  }
  const Shape& global_shape = whole.slice().global_shape;
  const Region region = LocalRegion(global_shape, sbp, mesh, device);
  CHECK(share.slice().shape == region.shape);
  return As(share, global_shape, region.offset);
}

absl::StatusOr<HostValue> JoinMeshShares(std::vector<HostValue> shares,
                                         const NdSbp& sbp, const Mesh& mesh) {
  CHECK_EQ(static_cast<int>(shares.size()), mesh.num_devices());
  const Shape global_shape = shares[0].slice().global_shape;
  for (int a = mesh.num_axes() - 1; a >= 0; --a) {
    // Those along the innermost axis that is left lie side by side.
    std::vector<HostValue> joined;
    const size_t k = mesh.sizes[a];
    for (size_t first = 0; first < shares.size(); first += k) {
      ASSIGN_OR_RETURN(
          HostValue value,
          JoinAlongAxis({shares.begin() + first, shares.begin() + first + k},
                        sbp[a]));
      joined.push_back(std::move(value));
    }
    shares = std::move(joined);
  }
  CHECK(shares[0].slice().shape == global_shape)
      << "the shares do not cover " << global_shape.ToString();
  return shares[0];
}

}  // namespace facet::ops
