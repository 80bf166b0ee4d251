#include "ops/graph/nd_sbp.h"

#include <map>
#include <vector>

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(NdSbpTest, TextAndBack) {
  const NdSbp sbp{Sbp::S(1), Sbp::B(), Sbp::PSum()};
  EXPECT_EQ(sbp.ToString(), "S(1),B,P(sum)");
  EXPECT_EQ(*ParseNdSbp("S(1), B,P(sum)"), sbp);
  EXPECT_EQ(*ParseNdSbp("S(0)"), NdSbp(Sbp::S(0)));
  for (const char* wrong : {"", "B,", "S(0) B", "B,X"}) {
    EXPECT_EQ(ParseNdSbp(wrong).status().code(),
              absl::StatusCode::kInvalidArgument)
        << wrong;
  }
}

TEST(NdSbpTest, OneAxisIsTheSameAsSbp) {
  const Mesh mesh{{3}};
  for (const Shape& shape : {Shape{7, 5}, Shape{2, 9}}) {
    for (const Sbp& sbp : {Sbp::B(), Sbp::S(0), Sbp::S(1), Sbp::PMax()}) {
      EXPECT_EQ(IsShardable(shape, NdSbp(sbp), mesh),
                IsShardable(shape, sbp, 3));
      if (!IsShardable(shape, sbp, 3)) continue;
      for (int rank = 0; rank < 3; ++rank) {
        const Region got = LocalRegion(shape, NdSbp(sbp), mesh, rank);
        const Region want = LocalRegion(shape, sbp, 3, rank);
        EXPECT_EQ(got.offset, want.offset);
        EXPECT_EQ(got.shape, want.shape);
      }
    }
  }
}

TEST(NdSbpTest, AnInnerSplitDividesTheOuterShare) {
  const Mesh mesh{{2, 2}};
  const NdSbp twice{Sbp::S(0), Sbp::S(0)};
  std::vector<int64_t> begins, sizes;
  for (int d = 0; d < 4; ++d) {
    const Region region = LocalRegion({6, 3}, twice, mesh, d);
    begins.push_back(region.offset[0]);
    sizes.push_back(region.shape[0]);
    EXPECT_EQ(region.shape[1], 3);
  }
  EXPECT_EQ(begins, (std::vector<int64_t>{0, 2, 3, 5}));
  EXPECT_EQ(sizes, (std::vector<int64_t>{2, 1, 2, 1}));
  EXPECT_TRUE(IsShardable({4}, twice, mesh));
  EXPECT_FALSE(IsShardable({3}, twice, mesh));  // 2 and 1; 1 by 2.
}

// Each element is on as many devices as there are copies.
TEST(NdSbpTest, SharesCoverTheTensorEvenly) {
  const std::vector<Sbp> choices = {Sbp::B(), Sbp::S(0), Sbp::S(1)};
  const Shape shape{7, 11};
  for (const Mesh& mesh : {Mesh{{2, 3}}, Mesh{{3, 2}}, Mesh{{2, 2}}}) {
    for (const Sbp& outer : choices) {
      for (const Sbp& inner : choices) {
        const NdSbp sbp{outer, inner};
        ASSERT_TRUE(IsShardable(shape, sbp, mesh));
        std::map<std::pair<int64_t, int64_t>, int> copies;
        for (int d = 0; d < mesh.num_devices(); ++d) {
          const Region r = LocalRegion(shape, sbp, mesh, d);
          EXPECT_GT(r.shape.num_elements(), 0);
          for (int64_t i = 0; i < r.shape[0]; ++i) {
            for (int64_t j = 0; j < r.shape[1]; ++j) {
              ++copies[{r.offset[0] + i, r.offset[1] + j}];
            }
          }
        }
        EXPECT_EQ(static_cast<int64_t>(copies.size()), shape.num_elements());
        const int expected = (outer.is_split() ? 1 : mesh.sizes[0]) *
                             (inner.is_split() ? 1 : mesh.sizes[1]);
        for (const auto& [element, count] : copies) {
          EXPECT_EQ(count, expected) << sbp.ToString();
        }
      }
    }
  }
}

}  // namespace
}  // namespace facet::ops
