// How much memory the planner's addresses cost over what is alive at once, the
// bound that no planner can beat: all networks, forward and backward, on 1 to
// 8 devices; beside it, what simple rules make of the same lifetimes.
//
//   bazel run //benchmarks:arena

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/compiled_model.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "placement/passes/pack_intervals.h"

DEFINE_int64(batch_per_device, 16, "Images per step and device.");
DEFINE_int64(classes, 100000, "Classes of the head.");

namespace facet::benchmarks {
namespace {

using placement::GreedyOrder;
using placement::Interval;

// What shares the arena of a device over a step: registers, those that lie in
// place over each other as one, and workspaces; alive from the task that
// writes them to the last that reads them, in the order of the plan.
std::vector<Interval> SharedBlocks(const placement::Plan& plan, int device) {
  std::vector<Interval> blocks;
  std::vector<int> block_of(plan.registers_size(), -1);
  auto aligned = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  int now = 0;
  for (const placement::Task& task : plan.tasks()) {
    if (task.device() != device || task.once()) continue;
    for (int r : task.inputs()) {
      if (block_of[r] >= 0) blocks[block_of[r]].end = now;
    }
    for (int o = 0; o < task.outputs_size(); ++o) {
      const placement::Register& reg = plan.registers(task.outputs(o));
      if (reg.persistent() || reg.credits() > 1) continue;
      int& block = block_of[task.outputs(o)];
      for (const placement::InPlace& pair : task.in_place()) {
        if (pair.output() == o) block = block_of[task.inputs(pair.input())];
      }
      if (block < 0) {
        block = static_cast<int>(blocks.size());
        blocks.push_back({aligned(reg.size_bytes()), now, now});
      }
    }
    if (task.workspace_bytes() > 0) {
      blocks.push_back({aligned(task.workspace_bytes()), now, now});
    }
    ++now;
  }
  return blocks;
}

int Run() {
  std::printf(
      "arena over the most that is alive at once: the plan's (with what is "
      "persistent, and with the time that other streams need), then of what "
      "is shared over a step alone\n\n%-8s %8s %12s %8s | %8s %8s %9s %9s\n",
      "network", "devices", "arena, MiB", "plan", "planner", "by size",
      "lifetime", "first fit");
  double worst = 0;
  for (const char* network : {"r18", "r34", "r50", "r100", "r200"}) {
    for (int devices : {1, 2, 4, 8}) {
      const absl::StatusOr<placement::Plan> plan =
          CompileModel({.network = network,
                        .classes = FLAGS_classes,
                        .batch_per_device = FLAGS_batch_per_device},
                       EqualCpuCluster(devices));
      if (!plan.ok()) {
        std::fprintf(stderr, "%s: %s\n", network,
                     std::string(plan.status().message()).c_str());
        return 1;
      }
      double ratio = 0, planner = 0, size = 0, lifetime = 0, start = 0;
      for (int d = 0; d < devices; ++d) {
        const placement::Device& device = plan->devices(d);
        ratio = std::max(ratio, static_cast<double>(device.arena_bytes()) /
                                    static_cast<double>(device.live_bytes()));
        const std::vector<Interval> blocks = SharedBlocks(*plan, d);
        const auto least = static_cast<double>(placement::LiveBytes(blocks));
        auto greedy = [&](GreedyOrder order) {
          return static_cast<double>(
                     placement::PackGreedily(blocks, order).height) /
                 least;
        };
        planner = std::max(
            planner,
            static_cast<double>(placement::PackIntervals(blocks).height) /
                least);
        size = std::max(size, greedy(GreedyOrder::kSize));
        lifetime = std::max(lifetime, greedy(GreedyOrder::kLifetime));
        start = std::max(start, greedy(GreedyOrder::kStart));
      }
      worst = std::max(worst, ratio);
      std::printf(
          "%-8s %8d %12.1f %8.4f | %8.4f %8.4f %9.4f %9.4f\n", network, devices,
          static_cast<double>(plan->devices(0).arena_bytes()) / (1 << 20),
          ratio, planner, size, lifetime, start);
      std::fflush(stdout);
    }
  }
  std::printf("\nworst of all plans: %.4f\n", worst);
  return 0;
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return facet::benchmarks::Run();
}
