#include "runtime/actor/non_finite.h"

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph/data_type.h"

namespace facet::runtime {
namespace {

using ops::DataType;

// All values of a type, against what Eigen says of each.
template <typename T>
void CheckAll16(DataType dtype) {
  int found = 0;
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const uint16_t word = static_cast<uint16_t>(bits);
    const T value = Eigen::numext::bit_cast<T>(word);
    const float wide = static_cast<float>(value);
    const bool expected = std::isnan(wide) || (std::isinf(wide) && wide > 0);
    ASSERT_EQ(HasNonFinite(dtype, &value, 1), expected) << wide;
    found += expected;
  }
  EXPECT_GT(found, 1);
}

TEST(NonFiniteTest, AllValuesOf16Bits) {
  CheckAll16<Eigen::half>(DataType::kFloat16);
  CheckAll16<Eigen::bfloat16>(DataType::kBFloat16);
}

TEST(NonFiniteTest, AnyPlaceOfATensor) {
  std::vector<float> values(37, 3e38f);
  values[11] = -INFINITY;  // Allowed.
  EXPECT_FALSE(HasNonFinite(DataType::kFloat32, values.data(), 37));
  EXPECT_FALSE(HasNonFinite(DataType::kFloat32, values.data(), 0));
  for (size_t i = 0; i < values.size(); ++i) {
    const float kept = values[i];
    for (float bad : {INFINITY, NAN, -NAN}) {
      values[i] = bad;
      EXPECT_TRUE(HasNonFinite(DataType::kFloat32, values.data(), 37)) << i;
    }
    values[i] = kept;
  }
}

TEST(NonFiniteTest, IntegersAreFinite) {
  const int64_t ones[] = {-1, 0x7f8000007f800000};
  EXPECT_FALSE(HasNonFinite(DataType::kInt64, ones, 2));
  EXPECT_FALSE(HasNonFinite(DataType::kInt32, ones, 4));
}

}  // namespace
}  // namespace facet::runtime
