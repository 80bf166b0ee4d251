// The simulator against the runtime: the same plan fires the same tasks in the
// same order, and holds as much memory.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "placement/plan/firing.h"
#include "placement/simulate/simulator.h"
#include "runtime/data/synthetic.h"
#include "runtime/device/cpu_device.h"
#include "runtime/session.h"
#include "runtime/trace/timeline.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using placement::Firing;
using placement::Plan;

constexpr int64_t kSteps = 3;

class NoFetch : public ops::FetchSink {
 public:
  absl::Status OnFetch(int64_t, absl::string_view, int,
                       const ops::TensorView&) override {
    return absl::OkStatus();
  }
};

Plan Compiled(int devices, bool fp16) {
  SmallTraining training;
  training.devices = devices;
  training.bn_groups = devices;
  training.iresnet = true;
  if (fp16) training.options.precision = placement::Precision::kBFloat16;
  absl::StatusOr<Plan> plan = CompileSmall(training);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// Recorded by the runtime, by start.
std::vector<Firing> Recorded(const Plan& plan) {
  auto devices = *runtime::CreateCpuDevices(plan.devices_size());
  std::vector<runtime::Device*> pointers;
  for (const auto& device : devices) pointers.push_back(device.get());
  auto data = *runtime::CreateSyntheticSource({.classes = 37, .seed = 3});
  NoFetch sink;
  runtime::Timeline timeline(plan, kSteps);
  runtime::SessionOptions options;
  options.data_source = data.get();
  options.fetch_sink = &sink;
  options.timeline = &timeline;
  auto session = runtime::Session::Create(plan, pointers, options);
  EXPECT_TRUE(session.ok()) << session.status();
  const absl::Status status = (*session)->Run(kSteps);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(timeline.dropped(), 0);
  std::vector<Firing> firings;
  for (const auto& lane : timeline.lanes()) {
    for (const runtime::TimelineEvent& event : lane) {
      firings.push_back({event.task, event.step, event.start_ns * 1e-9,
                         event.start_ns * 1e-9, event.end_ns * 1e-9});
    }
  }
  std::stable_sort(
      firings.begin(), firings.end(),
      [](const Firing& a, const Firing& b) { return a.start < b.start; });
  return firings;
}

// Of each (device, stream): task and step, in order.
using Orders =
    std::map<std::pair<int, std::string>, std::vector<std::pair<int, int64_t>>>;
Orders OrdersOf(const Plan& plan, const std::vector<Firing>& firings) {
  Orders orders;
  for (const Firing& f : firings) {
    const placement::Task& task = plan.tasks(f.task);
    orders[{task.device(), task.stream()}].emplace_back(f.task, f.step);
  }
  return orders;
}

// Every firing comes after all that it waits for. Recorded ends are noted when
// the tokens have been sent on, by which time their receiver may have begun: of
// a recorded run the starts are compared.
void ExpectFiringRule(const Plan& plan, const std::vector<Firing>& firings,
                      bool recorded) {
  std::map<std::pair<int, int64_t>, Firing> of;
  for (const Firing& f : firings) of[{f.task, f.step}] = f;
  int64_t checked = 0;
  for (const placement::FiringEdge& edge : placement::FiringEdges(plan)) {
    for (int64_t step = edge.tokens; step < kSteps; ++step) {
      const Firing& from = of.at({edge.from, step - edge.tokens});
      const Firing& to = of.at({edge.to, step});
      ASSERT_LE(recorded ? from.start : from.end, to.ready)
          << plan.tasks(edge.from).name() << " -> "
          << plan.tasks(edge.to).name();
      ++checked;
    }
  }
  EXPECT_GT(checked, 100);
}

class SimulatedEqualsRunTest
    : public testing::TestWithParam<std::pair<int, bool>> {};

TEST_P(SimulatedEqualsRunTest, TheOrderOfEvents) {
  const Plan plan = Compiled(GetParam().first, GetParam().second);
  const std::vector<Firing> simulated =
      placement::Simulate(plan, kSteps).firings;
  const std::vector<Firing> recorded = Recorded(plan);
  EXPECT_EQ(OrdersOf(plan, simulated), OrdersOf(plan, recorded));
  ExpectFiringRule(plan, simulated, /*recorded=*/false);
  ExpectFiringRule(plan, recorded, /*recorded=*/true);
}

// On one device the order of the compute stream decides alone what is alive
// together. Between devices an exchange takes as long as it takes, and what it
// reads and writes lives so long: there the plan's own bound holds for both.
TEST_P(SimulatedEqualsRunTest, TheMemoryPeak) {
  const Plan plan = Compiled(GetParam().first, GetParam().second);
  const std::vector<int64_t> simulated =
      placement::PeakBytes(plan, placement::Simulate(plan, kSteps).firings);
  const std::vector<int64_t> recorded =
      placement::PeakBytes(plan, Recorded(plan));
  if (plan.devices_size() == 1) {
    // The host's thread may be late on a busy machine: what it reads (losses)
    // then lives longer than in the simulation.
    int64_t read_by_host = 0;
    for (const placement::Task& task : plan.tasks()) {
      if (task.stream() != "host") continue;
      for (int r : task.inputs()) {
        read_by_host += plan.registers(r).size_bytes();
      }
    }
    EXPECT_GE(recorded[0], simulated[0]);
    EXPECT_LE(recorded[0], simulated[0] + read_by_host);
  }
  for (const std::vector<int64_t>& peaks : {simulated, recorded}) {
    for (int d = 0; d < plan.devices_size(); ++d) {
      EXPECT_GT(peaks[d], plan.devices(d).persistent_bytes());
      EXPECT_LE(peaks[d], plan.devices(d).arena_bytes());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SimulatedEqualsRunTest,
    testing::Values(std::make_pair(1, false), std::make_pair(1, true),
                    std::make_pair(2, false), std::make_pair(3, true)),
    [](const auto& info) {
      return std::to_string(info.param.first) +
             (info.param.second ? "_bfloat16" : "_float32");
    });

}  // namespace
}  // namespace facet::tests
