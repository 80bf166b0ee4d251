#include "placement/tool/measured_times.h"

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "placement/plan/small_plan.h"
#include "runtime/trace/timeline.h"

namespace facet::placement {
namespace {

using testing::HasSubstr;

// Task t runs in step s from 1000 s + 10 t + s to 3 ns later, in microseconds.
// The last step is cut off after `last_tasks` tasks.
std::string Trace(const Plan& plan, int steps, int last_tasks) {
  runtime::Timeline timeline(plan, steps);
  for (int step = 0; step < steps; ++step) {
    for (int t = 0; t < plan.tasks_size(); ++t) {
      if (plan.tasks(t).once() || (step + 1 == steps && t >= last_tasks)) {
        continue;
      }
      const int64_t start = (1000 * step + 10 * t + step) * int64_t{1000};
      timeline.Record({t, step, start, start + 3000});
    }
  }
  const std::string path = absl::StrCat(testing::TempDir(), "/trace.json");
  EXPECT_TRUE(timeline.WriteTrace(plan, path).ok());
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(MeasuredTimes, AreOfTheLastWholeStep) {
  const Plan plan = SmallPlan();
  for (bool whole : {true, false}) {
    const auto times = MeasuredTimes(
        plan,
        Trace(plan, 3, whole ? plan.tasks_size() : plan.tasks_size() - 1));
    ASSERT_TRUE(times.ok()) << times.status();
    ASSERT_EQ(times->tasks.size(), plan.tasks_size());
    // Task 0 runs once, task 1 is of the data stream: a step begins with 2.
    const int first = TaskNamed(plan, "y", 0);
    for (int t = 0; t < plan.tasks_size(); ++t) {
      if (plan.tasks(t).once()) continue;
      EXPECT_NEAR(times->tasks[t].start, (t - first) * 10e-6, 1e-9) << t;
      EXPECT_NEAR(times->tasks[t].end, (t - first) * 10e-6 + 3e-6, 1e-9) << t;
    }
    EXPECT_NEAR(times->seconds, (plan.tasks_size() - 1 - first) * 10e-6 + 3e-6,
                1e-9);
  }
}

TEST(MeasuredTimes, SaysWhatIsWrong) {
  const Plan plan = SmallPlan();
  auto error = [&](const std::string& trace) {
    const auto times = MeasuredTimes(plan, trace);
    EXPECT_FALSE(times.ok());
    return std::string(times.status().message());
  };
  for (const char* garbage : {"", "{", "[]", "{\"traceEvents\": 3}"}) {
    EXPECT_THAT(error(garbage), HasSubstr("is no trace")) << garbage;
  }
  EXPECT_THAT(error("{\"traceEvents\": [{\"ph\": \"X\", \"pid\": 0}]}"),
              HasSubstr("without pid, ts, dur or step"));
  EXPECT_THAT(error("{\"traceEvents\": [3]}"), HasSubstr("has no whole step"));
  EXPECT_THAT(error(Trace(plan, 1, 3)), HasSubstr("has no whole step"));
  EXPECT_THAT(error(absl::StrReplaceAll(Trace(plan, 1, plan.tasks_size()),
                                        {{"\"update\"", "\"upgrade\""}})),
              HasSubstr("has no task \"upgrade\" on device 0"));
}

}  // namespace
}  // namespace facet::placement
