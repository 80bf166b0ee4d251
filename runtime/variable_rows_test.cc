#include "runtime/variable_rows.h"

#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph/mesh.h"
#include "ops/graph/nd_sbp.h"

namespace facet::runtime {
namespace {

using ops::NdSbp;
using ops::Sbp;

std::vector<int32_t> Iota(int64_t count) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), 1);
  return values;
}
char* Bytes(std::vector<int32_t>& values) {
  return reinterpret_cast<char*>(values.data());
}

// Every range of rows, put together from all devices' shares, and taken apart
// again into them.
TEST(VariableRows, AnyRangeOfRowsOfAnySplit) {
  const ops::Mesh mesh{{2, 2}};
  for (const ops::Shape& whole :
       {ops::Shape{7}, ops::Shape{5, 4}, ops::Shape{4, 2, 3}}) {
    const int64_t row = whole.num_elements() / whole[0];
    std::vector<NdSbp> sbps = {
        {Sbp::B(), Sbp::B()}, {Sbp::S(0), Sbp::B()}, {Sbp::S(0), Sbp::S(0)}};
    if (whole.rank() > 1) sbps.push_back({Sbp::S(0), Sbp::S(1)});
    for (const NdSbp& sbp : sbps) {
      const std::vector<int32_t> values = Iota(whole.num_elements());
      for (int64_t begin = 0; begin <= whole[0]; ++begin) {
        for (int64_t end = begin; end <= whole[0]; ++end) {
          SCOPED_TRACE(testing::Message()
                       << whole.ToString() << " " << sbp.ToString() << " rows "
                       << begin << " to " << end);
          const std::vector<int32_t> expected(values.begin() + begin * row,
                                              values.begin() + end * row);
          std::vector<int32_t> got(expected.size(), 0);
          for (int d = 0; d < mesh.num_devices(); ++d) {
            const ops::Region region = ops::LocalRegion(whole, sbp, mesh, d);
            const ops::TensorSlice slice{ops::DataType::kInt32,
                                         ops::Layout::kRowMajor, region.shape,
                                         whole, region.offset};
            std::vector<int32_t> all = values;
            std::vector<int32_t> share(slice.num_elements());
            WholeToShare(slice, Bytes(all), Bytes(share));

            const RowsOfShare rows = RowsInShare(slice, begin, end);
            ShareToWhole(rows.slice, Bytes(share) + rows.first_byte,
                         Bytes(got));
            // Back: other values, into this range of the share alone.
            std::vector<int32_t> negative = expected;
            for (int32_t& value : negative) value = -value;
            std::vector<int32_t> changed = share;
            WholeToShare(rows.slice, Bytes(negative),
                         Bytes(changed) + rows.first_byte);
            for (size_t i = 0; i < share.size(); ++i) {
              const int64_t of_row = (share[i] - 1) / row;
              const bool is_in = of_row >= begin && of_row < end;
              EXPECT_EQ(changed[i], is_in ? -share[i] : share[i]) << i;
            }
          }
          EXPECT_EQ(got, expected);
        }
      }
    }
  }
}

TEST(VariableRows, AScalarIsOneRow) {
  const ops::TensorSlice scalar{
      ops::DataType::kInt32, ops::Layout::kRowMajor, {}, {}, {}};
  EXPECT_EQ(NumRows(scalar.shape), 1);
  EXPECT_EQ(NumRows(ops::Shape{3, 2}), 3);
  EXPECT_EQ(RowsInShare(scalar, 0, 1).slice.num_elements(), 1);
  EXPECT_EQ(RowsInShare(scalar, 0, 0).slice.num_elements(), 0);
  EXPECT_EQ(RowsInShare(scalar, 1, 1).slice.num_elements(), 0);
}

}  // namespace
}  // namespace facet::runtime
