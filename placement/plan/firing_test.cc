#include "placement/plan/firing.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "placement/plan/random_execution.h"
#include "placement/plan/small_plan.h"

namespace facet::placement {
namespace {

int Count(const std::vector<FiringEdge>& edges, FiringEdge::Kind kind) {
  return static_cast<int>(
      std::count_if(edges.begin(), edges.end(),
                    [&](const FiringEdge& e) { return e.kind == kind; }));
}

TEST(FiringEdges, StreamsAreRingsAndOtherEdgesCrossStreams) {
  const Plan plan = SmallPlan();
  const std::vector<FiringEdge> edges = FiringEdges(plan);
  // Per device: x, g, report alone; y, z, h, update in a ring.
  EXPECT_EQ(Count(edges, FiringEdge::Kind::kStream), 2 * 7);
  // x -> y, z -> g, g -> update, h -> report.
  EXPECT_EQ(Count(edges, FiringEdge::Kind::kData), 2 * 4);
  EXPECT_EQ(Count(edges, FiringEdge::Kind::kCredit), 2 * 4);
  for (const FiringEdge& edge : edges) {
    EXPECT_EQ(plan.tasks(edge.from).device(), plan.tasks(edge.to).device());
    if (edge.kind == FiringEdge::Kind::kCredit) {
      EXPECT_EQ(edge.tokens, plan.registers(edge.reg).credits());
    }
    EXPECT_FALSE(plan.tasks(edge.from).once());
    EXPECT_FALSE(plan.tasks(edge.to).once());
  }
}

// Times by which a task's n-th firing must come after others', as the longest
// chain: the same with all edges and with those that FiringEdges keeps.
TEST(FiringEdges, WhatIsLeftOutIsImplied) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Plan plan;
    plan.add_devices();
    const int num_tasks = 2 + random() % 12;
    const char* streams[] = {"compute", "communication", "data"};
    for (int t = 0; t < num_tasks; ++t) {
      plan.add_tasks()->set_stream(streams[random() % 3]);
      for (int w = random() % 3; w > 0; --w) {
        Wait* wait = plan.mutable_tasks(t)->add_waits();
        const int steps = t == 0 ? 1 : random() % 2;
        wait->set_steps(steps);
        wait->set_task(steps == 0 ? random() % t : random() % num_tasks);
      }
      Register* reg = plan.add_registers();
      reg->set_credits(1 + random() % 2);
      plan.mutable_tasks(t)->add_outputs(t);
      if (t > 0) plan.mutable_tasks(t)->add_inputs(random() % t);
    }
    std::vector<FiringEdge> kept = FiringEdges(plan);
    std::vector<FiringEdge> all = kept;
    for (int t = 0; t < num_tasks; ++t) {
      for (const Wait& wait : plan.tasks(t).waits()) {
        all.push_back({wait.task(), t, wait.steps()});
      }
      for (int r : plan.tasks(t).inputs()) {
        all.push_back({r, t, 0});
        all.push_back({t, r, plan.registers(r).credits()});
      }
    }
    // Random durations; finishing times of four steps.
    std::vector<int> seconds(num_tasks);
    for (int& s : seconds) s = 1 + random() % 100;
    auto finish = [&](const std::vector<FiringEdge>& edges) {
      std::vector<std::vector<int>> end(4, std::vector<int>(num_tasks, 0));
      for (int step = 0; step < 4; ++step) {
        for (int t = 0; t < num_tasks; ++t) {
          int start = 0;
          for (const FiringEdge& e : edges) {
            if (e.to != t || step < e.tokens) continue;
            start = std::max(start, end[step - e.tokens][e.from]);
          }
          end[step][t] = start + seconds[t];
        }
      }
      return end;
    };
    ASSERT_EQ(finish(kept), finish(all)) << "round " << round;
  }
}

TEST(FiringState, FollowsTheTokens) {
  const std::vector<FiringEdge> edges = {
      {0, 1, 0, FiringEdge::Kind::kData, 0},
      {1, 0, 2, FiringEdge::Kind::kCredit, 0}};
  FiringState state(edges, 2);
  EXPECT_TRUE(state.CanFire(0));
  EXPECT_FALSE(state.CanFire(1));
  state.Begin(0);
  state.Begin(0);  // The second slot.
  EXPECT_FALSE(state.CanFire(0));
  for (int e : state.out_edges(0)) state.Arrive(e);
  ASSERT_TRUE(state.CanFire(1));
  state.Begin(1);
  EXPECT_FALSE(state.CanFire(1));
  for (int e : state.out_edges(1)) state.Arrive(e);
  EXPECT_TRUE(state.CanFire(0));
  EXPECT_EQ(state.tokens(0), 0);
  EXPECT_EQ(state.tokens(1), 1);
}

TEST(RandomExecution, RunsTheSmallPlan) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const absl::Status status = ExecuteRandomly(SmallPlan(), 5, seed);
    ASSERT_TRUE(status.ok()) << status;
  }
}

TEST(RandomExecution, SeesOverwrittenMemory) {
  Plan plan = SmallPlan();
  // h over g, which the update reads later.
  plan.mutable_registers(RegisterNamed(plan, "h", 1))->set_arena_offset(256);
  bool seen = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    seen = seen || !ExecuteRandomly(plan, 5, seed).ok();
  }
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace facet::placement
