#include "ops/graph/mesh.h"

#include <set>

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(MeshTest, DevicesAreNumberedRowMajor) {
  const Mesh mesh{{2, 3}};
  EXPECT_EQ(mesh.num_devices(), 6);
  EXPECT_EQ(mesh.GroupsAlong(0),
            (std::vector<std::vector<int>>{{0, 3}, {1, 4}, {2, 5}}));
  EXPECT_EQ(mesh.GroupsAlong(1),
            (std::vector<std::vector<int>>{{0, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(mesh.ToString(), "2x3");
}

TEST(MeshTest, GroupsPartTheDevicesAndChangeOneCoordinate) {
  for (const Mesh& mesh : {Mesh{{5}}, Mesh{{1, 4}}, Mesh{{3, 2, 2}}}) {
    for (int axis = 0; axis < mesh.num_axes(); ++axis) {
      std::set<int> seen;
      for (const std::vector<int>& group : mesh.GroupsAlong(axis)) {
        for (size_t i = 0; i < group.size(); ++i) {
          EXPECT_TRUE(seen.insert(group[i]).second);
          EXPECT_EQ(mesh.Coordinate(group[i], axis), static_cast<int>(i));
          for (int other = 0; other < mesh.num_axes(); ++other) {
            if (other == axis) continue;
            EXPECT_EQ(mesh.Coordinate(group[i], other),
                      mesh.Coordinate(group[0], other));
          }
        }
      }
      EXPECT_EQ(static_cast<int>(seen.size()), mesh.num_devices());
    }
  }
}

}  // namespace
}  // namespace facet::ops
