#include "ops/graph/nd_sbp.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"

namespace facet::ops {

bool NdSbp::any_split() const {
  return std::any_of(begin(), end(), [](const Sbp& s) { return s.is_split(); });
}

bool NdSbp::any_partial() const {
  return std::any_of(begin(), end(),
                     [](const Sbp& s) { return s.is_partial(); });
}

bool NdSbp::mixes_partials() const {
  auto has = [this](Sbp sbp) {
    return std::find(begin(), end(), sbp) != end();
  };
  return has(Sbp::PSum()) && has(Sbp::PMax());
}

std::string NdSbp::ToString() const {
  return absl::StrJoin(axes_, ",", [](std::string* out, const Sbp& sbp) {
    out->append(sbp.ToString());
  });
}

absl::StatusOr<NdSbp> ParseNdSbp(absl::string_view text) {
  NdSbp result;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    absl::StatusOr<Sbp> sbp = ParseSbp(absl::StripAsciiWhitespace(part));
    if (!sbp.ok()) return sbp.status();
    result.push_back(*sbp);
  }
  return result;
}

Region LocalRegion(const Shape& shape, const NdSbp& sbp, const Mesh& mesh,
                   int device) {
  CHECK_EQ(sbp.num_axes(), mesh.num_axes());
  CHECK(device >= 0 && device < mesh.num_devices())
      << "device " << device << " of " << mesh.ToString();
  Region region = WholeRegion(shape);
  for (int a = 0; a < mesh.num_axes(); ++a) {
    if (!sbp[a].is_split()) continue;
    const int dimension = sbp[a].axis;
    CHECK_LT(dimension, shape.rank())
        << sbp.ToString() << " of " << shape.ToString();
    const Range range = ShardRange(region.shape[dimension], mesh.sizes[a],
                                   mesh.Coordinate(device, a));
    region.offset[dimension] += range.begin;
    region.shape[dimension] = range.size();
  }
  return region;
}

bool IsShardable(const Shape& shape, const NdSbp& sbp, const Mesh& mesh) {
  CHECK_EQ(sbp.num_axes(), mesh.num_axes());
  Shape smallest = shape;
  for (int a = 0; a < mesh.num_axes(); ++a) {
    const int k = mesh.sizes[a];
    if (!IsShardable(smallest, sbp[a], k)) return false;
    smallest = LocalRegion(smallest, sbp[a], k, k - 1).shape;
  }
  return true;
}

}  // namespace facet::ops
