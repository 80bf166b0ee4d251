// The figures that the programs report, on inputs with known answers.

#include <cstring>
#include <map>

#include "benchmarks/evaluation.h"
#include "benchmarks/published.h"
#include "benchmarks/step_times.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

// Two devices; compute, communication and data lanes.
placement::Plan TwoDevicePlan() {
  placement::Plan plan;
  for (int device = 0; device < 2; ++device) {
    plan.add_devices();
    auto add = [&](const char* stream, const char* part, const char* phase) {
      placement::Task* task = plan.add_tasks();
      task->set_device(device);
      task->set_stream(stream);
      task->set_part(part);
      task->set_phase(phase);
      return task;
    };
    add("data", "data", "data");
    add("compute", "backbone", "forward");
    add("compute", "head", "backward");
    add("communication", "head", "backward")->mutable_collective();
    placement::Wait* wait =
        add("compute", "backbone", "optimizer")->add_waits();
    wait->set_task(5 * device + 3);  // The collective.
  }
  return plan;
}

TEST(StepTimesTest, StepsEndWithTheirLastTaskAndPhasesAreMeansOverDevices) {
  const placement::Plan plan = TwoDevicePlan();
  runtime::Timeline timeline(plan, 10);
  constexpr int64_t kSecond = 1'000'000'000;
  for (int64_t step = 0; step < 3; ++step) {
    const int64_t t = 100 * kSecond + step * 10 * kSecond;
    for (int device = 0; device < 2; ++device) {
      const int first = 5 * device;
      // The data lane is a step ahead and does not count.
      timeline.Record({first, step, t - 9 * kSecond, t - 8 * kSecond});
      timeline.Record({first + 1, step, t, t + 2 * kSecond});
      timeline.Record({first + 2, step, t + 2 * kSecond, t + 5 * kSecond});
      timeline.Record(
          {first + 3, step, t + 5 * kSecond, t + (5 + device) * kSecond});
      timeline.Record(
          {first + 4, step, t + 6 * kSecond, t + (6 + 4 * device) * kSecond});
    }
  }
  EXPECT_EQ(StepSeconds(plan, timeline), (std::vector<double>{10, 10, 10}));
  const auto phases = PhaseSeconds(plan, timeline, 1, 3);
  const std::vector<std::pair<std::string, double>> expected = {
      {"data", 1},     {"forward", 2},         {"backward", 0},
      {"head", 3},     {"communication", 0.5}, {"waiting", 0},
      {"optimizer", 2}};
  ASSERT_EQ(phases.size(), expected.size());
  for (size_t i = 0; i < phases.size(); ++i) {
    EXPECT_EQ(phases[i].first, expected[i].first);
    EXPECT_NEAR(phases[i].second, expected[i].second, 1e-9) << phases[i].first;
  }
  // Device 0 begins each step 4 s after the end of the last, and the optimizer
  // 1 s after the collective; device 1 does nothing late.
  EXPECT_NEAR(RuntimeSeconds(plan, timeline, 1, 3), (4 + 1 + 0) / 2.0, 1e-9);
}

TEST(StepTimesTest, WaitingForAnotherStreamIsNotTheRuntimes) {
  placement::Plan plan;
  plan.add_devices();
  for (const char* stream : {"data", "compute", "compute"}) {
    placement::Task* task = plan.add_tasks();
    task->set_stream(stream);
    task->set_phase("forward");
  }
  // What the data stream gives takes part in task 1; it is two slots ahead.
  placement::Register* reg = plan.add_registers();
  reg->set_credits(2);
  plan.mutable_tasks(0)->add_outputs(0);
  plan.mutable_tasks(1)->add_inputs(0);
  runtime::Timeline timeline(plan, 10);
  timeline.Record({0, 0, 0, 100});
  timeline.Record({1, 0, 110, 200});   // 10 after its data.
  timeline.Record({2, 0, 230, 300});   // 30 after the task before.
  timeline.Record({0, 1, 100, 1000});  // Slow data.
  timeline.Record({1, 1, 1005, 1100});
  timeline.Record({2, 1, 1100, 1200});
  EXPECT_NEAR(RuntimeSeconds(plan, timeline, 0, 1), 40e-9, 1e-15);
  EXPECT_NEAR(RuntimeSeconds(plan, timeline, 1, 2), 5e-9, 1e-15);
  EXPECT_NEAR(RuntimeSeconds(plan, timeline, 0, 2), 45e-9 / 2, 1e-15);
}

// Task 2 is replayed with task 1: it ends when they do.
TEST(StepTimesTest, WhatIsReplayedIsOnePieceOfWork) {
  const placement::Plan plan = TwoDevicePlan();
  runtime::Timeline timeline(plan, 10);
  timeline.Record({1, 0, 0, 100, 2});
  timeline.Record({4, 0, 130, 200});  // 30 after the task before.
  const auto phases = PhaseSeconds(plan, timeline, 0, 1);
  auto seconds = [&](const std::string& name) {
    for (const auto& [phase, value] : phases) {
      if (phase == name) return value;
    }
    return -1.0;
  };
  EXPECT_NEAR(seconds("replayed"), 100e-9, 1e-15);
  EXPECT_NEAR(seconds("optimizer"), 70e-9, 1e-15);
  EXPECT_EQ(seconds("forward"), 0);
  EXPECT_NEAR(RuntimeSeconds(plan, timeline, 0, 1), 30e-9, 1e-15);
}

TEST(StepTimesTest, TimeBeforeTheLastMemberOfACollectiveIsWaiting) {
  const placement::Plan plan = TwoDevicePlan();
  runtime::Timeline timeline(plan, 10);
  constexpr int64_t kSecond = 1'000'000'000;
  // The collective of device 0 starts at 2 s, that of device 1 at 6 s; both
  // end at 7 s. Before, device 0 computes from 0 s to 2 s, device 1 to 5 s.
  timeline.Record({1, 0, 0, 2 * kSecond});
  timeline.Record({3, 0, 2 * kSecond, 7 * kSecond});
  timeline.Record({6, 0, 0, 5 * kSecond});
  timeline.Record({8, 0, 6 * kSecond, 7 * kSecond});
  const auto phases = PhaseSeconds(plan, timeline, 0, 1);
  const std::map<std::string, double> by_name(phases.begin(), phases.end());
  EXPECT_NEAR(by_name.at("communication"), 1, 1e-9);
  EXPECT_NEAR(by_name.at("waiting"), (4 + 0) / 2.0, 1e-9);
}

TEST(StepTimesTest, StepsThatDifferAreTakenTogether) {
  const std::vector<double> steps = {9, 1, 1, 4, 1, 1, 7, 1};
  EXPECT_EQ(MeanOfPeriods(steps, 1, 1),
            (std::vector<double>{1, 1, 4, 1, 1, 7, 1}));
  EXPECT_EQ(MeanOfPeriods(steps, 1, 3), (std::vector<double>{2, 3}));
  EXPECT_EQ(MeanOfPeriods(steps, 5, 3), (std::vector<double>{3}));
}

TEST(StepTimesTest, Median) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({5, 1, 3}), 3);
  EXPECT_EQ(Median({4, 1, 3, 2}), 2.5);
}

// Unit vectors in the plane; people 0, 0, 1, 1.
Embeddings Plane(const std::vector<std::pair<float, float>>& rows) {
  Embeddings embeddings;
  embeddings.dimension = 2;
  for (const auto& [x, y] : rows) {
    embeddings.values.push_back(x);
    embeddings.values.push_back(y);
  }
  return embeddings;
}

std::vector<runtime::Photograph> People(const std::vector<int>& people) {
  std::vector<runtime::Photograph> photographs;
  for (int person : people) photographs.push_back({"", person});
  return photographs;
}

TEST(EvaluationTest, Rank1CountsNearestCentresOfAnyLength) {
  runtime::HostTensor centres;
  centres.shape = {3, 2};
  const float rows[] = {0.1f, 0, 0, 100, -1, 0};  // The third is of nobody.
  centres.data.resize(sizeof(rows));
  std::memcpy(centres.data.data(), rows, sizeof(rows));
  const Embeddings embeddings = Plane({{1, 0}, {0.6f, 0.8f}, {0, 1}, {-1, 0}});
  const auto people = People({0, 0, 1, 1});
  // The second is nearer to centre 1; the last only to the unused centre.
  EXPECT_EQ(Rank1Accuracy(embeddings, people, centres, 2), 0.75);
  EXPECT_EQ(Rank1Accuracy(embeddings, people, centres, 3), 0.5);
}

TEST(EvaluationTest, VerificationFindsTheBestThreshold) {
  const auto people = People({0, 0, 1, 1});
  const Verification clean = VerifyAllPairs(
      Plane({{1, 0}, {0.8f, 0.6f}, {-1, 0}, {-0.8f, 0.6f}}), people);
  EXPECT_EQ(clean.same_pairs, 2);
  EXPECT_EQ(clean.other_pairs, 4);
  EXPECT_EQ(clean.balanced_accuracy, 1);
  EXPECT_EQ(clean.accuracy, 1);
  EXPECT_NEAR(clean.threshold, 0.8, 1e-6);
  // All alike: nothing can be told apart.
  const Verification alike =
      VerifyAllPairs(Plane({{1, 0}, {1, 0}, {1, 0}, {1, 0}}), people);
  EXPECT_EQ(alike.balanced_accuracy, 0.5);
  EXPECT_NEAR(alike.accuracy, 4.0 / 6, 1e-9);  // "Nobody is the same."
}

TEST(PublishedTest, FiguresOfARow) {
  EXPECT_EQ(PublishedRows().size(), 14u);
  EXPECT_EQ(PublishedFigures("r50", 2'000'000, true),
            "2576 (batch 512), 2810 (batch 1024)");
  EXPECT_EQ(PublishedFigures("r50", 1000, true), "");
  EXPECT_EQ(PublishedFigures("r18", 2'000'000, true), "");
}

}  // namespace
}  // namespace facet::benchmarks
