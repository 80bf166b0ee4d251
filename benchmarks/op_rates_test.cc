#include "benchmarks/op_rates.h"

#include <algorithm>

#include "glog/logging.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

// Two of these: 1e11 and 2e11 FLOP/s, 1e10 bytes/s.
placement::Hardware Core() {
  placement::Hardware core;
  core.set_float32_flops_per_second(0.5e11);
  core.set_half_flops_per_second(1e11);
  core.set_memory_bytes_per_second(0.5e10);
  core.set_launch_seconds(1e-6);
  return core;
}

const placement::Efficiency& Of(const std::vector<placement::OpRates>& rates,
                                const std::string& op) {
  const auto it =
      std::find_if(rates.begin(), rates.end(),
                   [&](const placement::OpRates& r) { return r.op(0) == op; });
  CHECK(it != rates.end()) << op;
  return it->efficiency();
}

// Samples made with known rates give these rates back.
TEST(OpRatesTest, FindsTheRatesThatMadeTheSamples) {
  std::vector<TaskSample> samples;
  for (double size : {1e7, 3e7, 2e8}) {
    // Arithmetic at 0.5 of the peak in float32, 0.4 in half; the bytes do not
    // grow with it.
    samples.push_back({"product", false, size, 1e6, size / 0.5e11 + 1e-6});
    samples.push_back({"product", true, size, 5e5, size / 0.8e11 + 1e-6});
    // Memory at twice the peak (it stays in a cache); the arithmetic grows in
    // another way.
    samples.push_back(
        {"copy", false, 1e3 * size * size, size, size / 2e10 + 1e-6});
  }
  const auto rates = FitOpRates(samples, Core(), 2);
  ASSERT_EQ(rates.size(), 2u);
  EXPECT_NEAR(Of(rates, "product").float32(), 0.5, 1e-9);
  EXPECT_NEAR(Of(rates, "product").half(), 0.4, 1e-9);
  EXPECT_GT(Of(rates, "product").memory(), 5);
  EXPECT_NEAR(Of(rates, "copy").memory(), 2, 1e-9);
  EXPECT_GT(Of(rates, "copy").float32(), 5);
}

TEST(OpRatesTest, APrecisionThatWasNotSeenIsAsTheOther) {
  const auto rates =
      FitOpRates({{"product", true, 1e9, 1, 1e9 / 1e11 + 1e-6}}, Core(), 2);
  EXPECT_NEAR(Of(rates, "product").half(), 0.5, 1e-9);
  EXPECT_NEAR(Of(rates, "product").float32(), 0.5, 1e-9);
}

TEST(OpRatesTest, WhatCountsNothingCostsOnlyItsStart) {
  const auto rates = FitOpRates({{"nothing", false, 0, 0, 5e-6}}, Core(), 2);
  EXPECT_GT(Of(rates, "nothing").memory(), 5);
  EXPECT_GT(Of(rates, "nothing").float32(), 5);
}

}  // namespace
}  // namespace facet::benchmarks
