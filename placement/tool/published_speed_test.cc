#include "placement/tool/published_speed.h"

#include <cmath>

#include "gtest/gtest.h"
#include "placement/simulate/fit.h"
#include "placement/simulate/hardware.h"

namespace facet::placement {
namespace {

using benchmarks::PublishedRow;
using benchmarks::PublishedRows;

Hardware Profile() { return *ReadHardware("v100_sxm2_32gb"); }

void ExpectSameParameters(const Hardware& a, const Hardware& b,
                          double tolerance) {
  for (const FitParameter& p : FitParameters()) {
    EXPECT_NEAR(p.get(a) / p.get(b), 1, tolerance) << p.name;
  }
}

TEST(PublishedSpeedTest, UnseenRowsArePredicted) {
  const std::vector<SpeedRow> rows =
      PredictPublished(Profile(), 8, PublishedRows());
  ASSERT_EQ(rows.size(), 14u);
  int fitted = 0;
  for (const SpeedRow& row : rows) {
    fitted += row.fitted;
    EXPECT_LE(std::abs(row.error_percent), 20) << row.name;
  }
  EXPECT_EQ(fitted, 4);
  EXPECT_LE(MeanAbsoluteErrorPercentUnseen(rows), 8);
}

// The profile's numbers are the fit's. It starts from the priors, not from what
// the profile says, and the other rows have no part in it.
TEST(PublishedSpeedTest, TheProfileIsTheFitToTheDeclaredRows) {
  Hardware start = Profile();
  for (const FitParameter& p : FitParameters()) p.set(p.prior * 2, &start);
  std::vector<PublishedRow> changed = PublishedRows();
  for (PublishedRow& row : changed) {
    if (!IsFittedRow(row)) row.samples_per_second *= 3;
  }
  ExpectSameParameters(FitToPublished(start, 8, changed), Profile(), 2e-3);
}

// What the fit is for: it finds parameters that were hidden in observations.
TEST(PublishedSpeedTest, TheFitFindsWhatMadeTheObservations) {
  Hardware truth = Profile();
  for (const FitParameter& p : FitParameters()) {
    p.set(p.prior * std::exp(0.3 * p.deviation), &truth);
  }
  std::vector<Observation> observations;
  for (const PublishedRow& row : PublishedRows()) {
    if (row.batch_size != 512) continue;  // Enough, and the fastest.
    const ArcfaceTorchRun run = RunOfRow(row, 8);
    observations.push_back({run, ArcfaceTorchSamplesPerSecond(truth, run)});
  }
  const Hardware found = FitHardware(Profile(), observations);
  for (const Observation& o : observations) {
    EXPECT_NEAR(
        ArcfaceTorchSamplesPerSecond(found, o.run) / o.samples_per_second, 1,
        0.01);
  }
  // Nearer than the prior, by far; the prior itself pulls a little. The host's
  // time shows only where kernels are too short to hide it: speeds hardly
  // depend on it here, and the prior keeps it.
  for (const FitParameter& p : FitParameters()) {
    if (p.name == "eager.issue_seconds") continue;
    EXPECT_NEAR(std::log(p.get(found) / p.get(truth)), 0, 0.2 * p.deviation)
        << p.name;
  }
}

}  // namespace
}  // namespace facet::placement
