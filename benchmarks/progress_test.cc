#include "benchmarks/progress.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::AllOf;
using testing::HasSubstr;

absl::Status Fetch(Progress* progress, int64_t step, float value,
                   const char* name = "loss") {
  ops::TensorView view;
  view.data = &value;
  return progress->OnFetch(step, name, 0, view);
}

TEST(ProgressTest, KeepsEveryLossAndNothingElse) {
  Progress progress(3, 16, /*keep_going=*/false);
  testing::internal::CaptureStdout();
  for (int step = 0; step < 3; ++step) {
    EXPECT_TRUE(Fetch(&progress, step, 10.0f - step).ok());
    EXPECT_TRUE(Fetch(&progress, step, 1, "something").ok());
  }
  progress.Finish();
  const std::string shown = testing::internal::GetCapturedStdout();
  EXPECT_THAT(progress.losses(), testing::ElementsAre(10, 9, 8));
  EXPECT_THAT(shown, AllOf(HasSubstr("step 1/3  loss 10.0000"),
                           HasSubstr("step 3/3  loss 8.0000"),
                           HasSubstr("samples/s"), HasSubstr("0 s left")));
}

TEST(ProgressTest, ALossThatIsNotFiniteStopsWithWhatHelps) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity()}) {
    Progress progress(9, 16, /*keep_going=*/false);
    progress.set_first_non_finite(
        [](int64_t step) { return step == 5 ? "step 4: bn1 on cpu:1" : ""; },
        /*looks_at_all=*/false);
    testing::internal::CaptureStdout();
    const absl::Status status = Fetch(&progress, 5, bad);
    testing::internal::GetCapturedStdout();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("in step 5"),
                      HasSubstr("First seen: step 4: bn1 on cpu:1"),
                      HasSubstr("--lr"), HasSubstr("--keep_going")));
  }
}

TEST(ProgressTest, SaysHowToFindTheFirstUnlessThatWasTried) {
  for (bool looks_at_all : {false, true}) {
    Progress progress(9, 16, /*keep_going=*/false);
    progress.set_first_non_finite([](int64_t) { return ""; }, looks_at_all);
    testing::internal::CaptureStdout();
    const absl::Status status = Fetch(&progress, 5, std::nanf(""));
    testing::internal::GetCapturedStdout();
    const std::string message(status.message());
    EXPECT_THAT(message, Not(HasSubstr("First")));
    EXPECT_EQ(message.find("--check_finite") == std::string::npos,
              looks_at_all);
  }
}

TEST(ProgressTest, KeepsGoingIfAsked) {
  Progress progress(9, 16, /*keep_going=*/true);
  testing::internal::CaptureStdout();
  EXPECT_TRUE(Fetch(&progress, 0, std::nanf("")).ok());
  EXPECT_TRUE(Fetch(&progress, 1, 3).ok());
  testing::internal::GetCapturedStdout();
  ASSERT_EQ(progress.losses().size(), 2u);
  EXPECT_TRUE(std::isnan(progress.losses()[0]));
}

}  // namespace
}  // namespace facet::benchmarks
