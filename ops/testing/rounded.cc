#include "ops/testing/rounded.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "ops/stochastic_rounding.h"

namespace facet::ops {
namespace {

double FromBits(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

}  // namespace

void ExpectRounded(const HostValue& got, const HostValue& exact,
                   const RandomStream& stream, StateKind kind) {
  ASSERT_EQ(got.slice().shape, exact.slice().shape);
  ASSERT_TRUE(got.slice().shape == got.slice().global_shape);
  const std::vector<double> values = got.ToDoubles();
  const int64_t count = static_cast<int64_t>(values.size());
  const bool rounds = got.slice().dtype == DataType::kBFloat16;
  int64_t others = 0;
  for (int64_t e = 0; e < count; ++e) {
    const float value = exact.as<float>()[e];
    const uint32_t word = RoundingWord(stream, e);
    const uint32_t random = kind == StateKind::kWeight ? RandomOfWeight(word)
                                                       : RandomOfMomentum(word);
    const double want =
        rounds ? FromBits(RoundStochastically(value, random)) : value;
    if (values[e] == want) continue;
    ++others;
    // A bfloat16 has 8 significant bits.
    ASSERT_NEAR(values[e], value, rounds ? std::abs(value) * 0x1p-7 : 1e-6)
        << "element " << e;
  }
  EXPECT_LE(others, rounds ? 1 + count / 500 : count) << "of " << count;
}

HostValue WithType(const HostValue& value, DataType dtype) {
  HostValue result = HostValue::Whole({dtype, value.slice().global_shape});
  result.FromDoubles(value.ToDoubles());
  return result;
}

}  // namespace facet::ops
