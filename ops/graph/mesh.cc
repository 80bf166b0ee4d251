#include "ops/graph/mesh.h"

#include "absl/strings/str_join.h"

namespace facet::ops {

int Mesh::num_devices() const { return sizes.empty() ? 0 : Stride(-1); }

int Mesh::Stride(int axis) const {
  int stride = 1;
  for (int inner = axis + 1; inner < num_axes(); ++inner) {
    stride *= sizes[inner];
  }
  return stride;
}

std::vector<std::vector<int>> Mesh::GroupsAlong(int axis) const {
  std::vector<std::vector<int>> groups;
  const int stride = Stride(axis);
  for (int first = 0; first < num_devices(); ++first) {
    if (Coordinate(first, axis) != 0) continue;
    groups.emplace_back();
    for (int i = 0; i < sizes[axis]; ++i) {
      groups.back().push_back(first + i * stride);
    }
  }
  return groups;
}

std::string Mesh::ToString() const { return absl::StrJoin(sizes, "x"); }

}  // namespace facet::ops
