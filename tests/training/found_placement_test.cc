// What Compile finds for the models that the project is about, with nobody
// telling it.

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/train_graph.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/plan/stated_devices.h"
#include "placement/simulate/simulator.h"

namespace facet::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Request {
  std::string network = "r50";
  int64_t classes = 2'000'000;
  int64_t batch_size = 0;
  int devices = 2;
  placement::Precision precision = placement::Precision::kFloat32;
  std::map<std::string, ops::NdSbp> pins;
  int64_t host_memory_bytes = 0;
  double sample_rate = 1;
  std::string row_update = "sampled";
  std::vector<placement::AxisSize> axes;  // Empty: in a row.
  bool state_equal_once = false;
  placement::Recomputing recomputing = placement::Recomputing::kAuto;
  placement::Splitting splitting = placement::Splitting::kAuto;
};

absl::StatusOr<placement::Plan> Compile(const Request& request) {
  models::TrainConfig config;
  config.network = request.network;
  config.classes = request.classes;
  config.batch_size = request.batch_size;
  config.bn_groups = request.devices;
  config.sample_rate = request.sample_rate;
  config.class_groups = request.devices;
  auto model = models::BuildTrainGraph(config, ops::FindOp);
  if (!model.ok()) return model.status();
  placement::Cluster cluster =
      placement::UniformCluster(request.devices, {}, {});
  if (!request.axes.empty()) {
    cluster = placement::Arranged(std::move(cluster), request.axes);
  }
  cluster.kernels = &ops::CpuKernels();
  cluster.host_memory_bytes = request.host_memory_bytes;
  placement::CompileOptions options;
  options.loss = model->loss;
  options.precision = request.precision;
  options.pins = request.pins;
  options.recomputing = request.recomputing;
  options.splitting = request.splitting;
  options.state_equal_once = request.state_equal_once;
  options.optimizer.row_update = request.row_update;
  return placement::Compile(model->graph, cluster, options);
}

const placement::LogicalTensor& TensorNamed(const placement::Plan& plan,
                                            const std::string& name) {
  static const placement::LogicalTensor kNone;
  for (const placement::LogicalTensor& tensor : plan.tensors()) {
    if (tensor.name() == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return kNone;
}

void ExpectDataParallelBackbone(const placement::Plan& plan) {
  EXPECT_THAT(TensorNamed(plan, "images").sbp(), testing::ElementsAre("S(0)"));
  int variables = 0;
  for (const placement::LogicalTensor& tensor : plan.tensors()) {
    if (!tensor.variable() || tensor.part() != "backbone" ||
        tensor.name().find("running_") != std::string::npos) {
      continue;
    }
    EXPECT_THAT(tensor.sbp(), testing::ElementsAre("B")) << tensor.name();
    ++variables;
  }
  EXPECT_GT(variables, 50);
}

TEST(FoundPlacementTest, TwoMillionClassesAreSplitAndTheBackboneIsNot) {
  for (int devices : {2, 8}) {
    for (auto precision :
         {placement::Precision::kFloat32, placement::Precision::kBFloat16}) {
      SCOPED_TRACE(devices);
      Request request;
      request.devices = devices;
      request.batch_size = int64_t{16} * devices;
      // The largest real training set, and no multiple of 8.
      request.classes = devices == 8 ? 2'059'906 : 2'000'000;
      request.precision = precision;
      const auto plan = Compile(request);
      ASSERT_TRUE(plan.ok()) << plan.status();
      for (const char* name : {"head.weight", "head.weight.momentum"}) {
        EXPECT_THAT(TensorNamed(*plan, name).sbp(),
                    testing::ElementsAre("S(0)"));
      }
      ExpectDataParallelBackbone(*plan);
      // Each device holds its classes, the first ones one more, and nobody
      // the logits of all classes, or of its classes for many images at once
      // in more than one buffer.
      std::vector<int64_t> held(devices, 0);
      for (const placement::Register& reg : plan->registers()) {
        if (reg.name() == "head.weight") {
          EXPECT_EQ(
              reg.shape(0),
              ops::ShardRange(request.classes, devices, reg.device()).size());
          EXPECT_EQ(reg.shape(1), 512);
          held[reg.device()] += reg.shape(0);
        }
        if (reg.shape_size() == 2) {
          EXPECT_LT(reg.shape(1), request.classes) << reg.name();
        }
      }
      int64_t total = 0;
      for (int64_t classes : held) total += classes;
      EXPECT_EQ(total, request.classes);
      // 4 KiB a class for weight and momentum, and not much besides them.
      const int64_t of_head = request.classes * 512 * 4 * 2 / devices;
      for (const placement::Device& device : plan->devices()) {
        EXPECT_GT(device.arena_bytes(), of_head);
        EXPECT_LT(device.arena_bytes(), of_head + (int64_t{4} << 30));
      }
    }
  }
}

// With Partial FC, too, and every device samples and gathers its own classes;
// the step is predicted to be faster, and only what is sampled is copied.
TEST(FoundPlacementTest, ASampleOfTwoMillionClassesIsSplitToo) {
  for (int devices : {2, 8}) {
    Request request;
    request.devices = devices;
    request.batch_size = int64_t{16} * devices;
    request.classes = devices == 8 ? 2'059'906 : 2'000'000;
    const auto full = Compile(request);
    ASSERT_TRUE(full.ok()) << full.status();
    request.sample_rate = 0.1;
    for (const std::string row_update : {"sampled", "dense"}) {
      SCOPED_TRACE(testing::Message() << row_update << " on " << devices);
      request.row_update = row_update;
      const auto plan = Compile(request);
      ASSERT_TRUE(plan.ok()) << plan.status();
      for (const char* name :
           {"head.weight", "head.weight.momentum", "head.sample"}) {
        EXPECT_THAT(TensorNamed(*plan, name).sbp(),
                    testing::ElementsAre("S(0)"))
            << name;
      }
      ExpectDataParallelBackbone(*plan);
      int64_t sampled = 0;
      for (const placement::Register& reg : plan->registers()) {
        if (reg.name() == "head.sampled") sampled += reg.shape(0);
      }
      const auto of_all = static_cast<double>(request.classes);
      EXPECT_GT(sampled, 0.1 * of_all);
      EXPECT_LT(sampled, 0.11 * of_all);
      EXPECT_LT(plan->predicted_step_seconds(), full->predicted_step_seconds());
      for (int d = 0; d < devices; ++d) {
        EXPECT_LT(
            plan->devices(d).arena_bytes(),
            full->devices(d).arena_bytes() + 2 * sampled / devices * 512 * 4);
      }
    }
  }
}

// What was left to the device has been decided, and can be read.
TEST(FoundPlacementTest, ThePlanSaysHowConvolutionsAreComputed) {
  Request request;
  request.network = "r18";
  request.classes = 1000;
  request.batch_size = 8;
  const auto plan = Compile(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::map<std::string, int> tasks;
  for (const placement::Task& task : plan->tasks()) {
    if (!absl::StartsWith(task.op(), "conv2d")) continue;
    for (const placement::Attribute& attribute : task.attributes()) {
      if (attribute.name() != "algorithm") continue;
      ++tasks[attribute.ShortDebugString()];
    }
  }
  // 3x3 with stride 1 one way; the stem, strides and shortcuts the other.
  EXPECT_EQ(tasks.size(), 2u);
  for (const auto& [text, count] : tasks) {
    EXPECT_THAT(text, testing::AnyOf(HasSubstr("\"direct\""),
                                     HasSubstr("\"winograd\"")));
    EXPECT_GT(count, 10) << text;
  }
}

TEST(FoundPlacementTest, AHundredClassesAreDataParallelToo) {
  for (int devices : {2, 8}) {
    SCOPED_TRACE(devices);
    Request request;
    request.network = "r18";
    request.classes = 100;
    request.batch_size = 1024;
    request.devices = devices;
    const auto plan = Compile(request);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_THAT(TensorNamed(*plan, "head.weight").sbp(),
                testing::ElementsAre("B"));
    ExpectDataParallelBackbone(*plan);
  }
}

TEST(FoundPlacementTest, PinsAreObeyedOrRefusedWithTheChoices) {
  Request request;
  request.network = "r18";
  request.classes = 5000;
  request.batch_size = 16;
  request.devices = 4;
  for (const ops::Sbp& sbp : {ops::Sbp::B(), ops::Sbp::S(0)}) {
    request.pins = {{"head.weight", sbp}};
    const auto plan = Compile(request);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_THAT(TensorNamed(*plan, "head.weight").sbp(),
                testing::ElementsAre(sbp.ToString()));
  }
  request.pins = {{"head.weight", ops::Sbp::PSum()}};
  const absl::Status refused = Compile(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(refused.message()),
      AllOf(HasSubstr("head.weight"), HasSubstr("P(sum)"),
            HasSubstr("float32[5000, 512]"), HasSubstr("B, S(0), S(1)")));
  request.pins = {{"head.wieght", ops::Sbp::B()}};
  EXPECT_THAT(std::string(Compile(request).status().message()),
              HasSubstr("head.wieght"));
}

TEST(FoundPlacementTest, TooLittleMemorySaysWhatIsNeededAndWhatHelps) {
  Request request;
  request.batch_size = 32;
  request.host_memory_bytes = int64_t{4} << 30;
  const absl::Status refused = Compile(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("at its peak"), HasSubstr("together"),
                    HasSubstr("4.00 GiB of host memory"),
                    HasSubstr("head.weight 1.91"), HasSubstr("--batch_size"),
                    HasSubstr("--classes"), HasSubstr("--fp16")));
}

// A plan that states equal devices once says what the whole one says, of every
// device, and of the step.
TEST(FoundPlacementTest, EqualDevicesMayBeStatedOnce) {
  struct Case {
    int devices;
    std::vector<placement::AxisSize> axes;
    int64_t classes, batch_size;
    int kinds;
  };
  for (const Case& c : {Case{8, {}, 10'000, 64, 1}, Case{8, {}, 10'003, 64, 2},
                        Case{6, {}, 10'004, 40, 3},
                        Case{8, {{"node", 2}, {"device", 4}}, 1'001, 64, 2}}) {
    SCOPED_TRACE(testing::Message()
                 << c.devices << " devices, " << c.classes << " classes");
    Request request;
    request.network = "r18";
    request.devices = c.devices;
    request.axes = c.axes;
    request.classes = c.classes;
    request.batch_size = c.batch_size;
    const auto whole = Compile(request);
    request.state_equal_once = true;
    const auto once = Compile(request);
    ASSERT_TRUE(whole.ok() && once.ok()) << whole.status() << once.status();
    const std::vector<int> counts = placement::CountLike(*once);
    EXPECT_EQ(c.devices - std::count(counts.begin(), counts.end(), 0), c.kinds);
    EXPECT_EQ(placement::CountLike(*whole), std::vector<int>(c.devices, 1));
    ASSERT_EQ(once->devices_size(), c.devices);
    for (int d = 0; d < c.devices; ++d) {
      EXPECT_EQ(once->devices(d).name(), whole->devices(d).name());
      EXPECT_EQ(once->devices(d).arena_bytes(),
                whole->devices(d).arena_bytes());
      EXPECT_EQ(once->devices(d).live_bytes(), whole->devices(d).live_bytes());
    }
    EXPECT_NEAR(once->predicted_step_seconds(), whole->predicted_step_seconds(),
                1e-9 * whole->predicted_step_seconds());
    const auto phases = placement::SimulatedPhases(*once);
    const auto expected = placement::SimulatedPhases(*whole);
    for (size_t i = 0; i < phases.size(); ++i) {
      EXPECT_NEAR(phases[i].second, expected[i].second,
                  1e-9 * whole->predicted_step_seconds())
          << phases[i].first;
    }
    // The stated tasks are those of the whole plan, in its order.
    std::vector<std::string> tasks, all_tasks;
    auto text = [](const placement::Task& task) {
      return absl::StrCat(task.device(), " ", task.name(), " ", task.rank(),
                          "/", task.num_ranks());
    };
    for (const placement::Task& task : once->tasks()) {
      tasks.push_back(text(task));
    }
    for (const placement::Task& task : whole->tasks()) {
      if (counts[task.device()] > 0) all_tasks.push_back(text(task));
    }
    EXPECT_EQ(tasks, all_tasks);
  }
}

// As much as is needed is computed again, and nothing if there is no need.
TEST(FoundPlacementTest, WhereMemoryIsShortActivationsAreComputedAgain) {
  Request request;
  request.classes = 10'000;
  request.batch_size = 64;
  request.recomputing = placement::Recomputing::kAuto;
  request.splitting = placement::Splitting::kNone;
  auto bytes_of = [](const placement::Plan& plan) {
    int64_t bytes = 0;
    for (const auto& device : plan.devices()) bytes += device.arena_bytes();
    return bytes;
  };
  const auto roomy = Compile(request);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_FALSE(roomy->has_recomputation());
  request.recomputing = placement::Recomputing::kAll;
  const auto least = Compile(request);
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_LT(bytes_of(*least), 0.6 * bytes_of(*roomy));

  request.recomputing = placement::Recomputing::kAuto;
  int tensors = 0;
  double seconds = roomy->predicted_step_seconds();
  for (double part : {0.95, 0.8, 0.65}) {
    SCOPED_TRACE(part);
    request.host_memory_bytes = static_cast<int64_t>(part * bytes_of(*roomy));
    const auto plan = Compile(request);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_LE(bytes_of(*plan), request.host_memory_bytes);
    // The less memory, the more.
    EXPECT_GT(plan->recomputation().tensors(), tensors);
    EXPECT_GT(plan->predicted_step_seconds(), seconds);
    tensors = plan->recomputation().tensors();
    seconds = plan->predicted_step_seconds();
  }
  EXPECT_LT(tensors, least->recomputation().tensors());
  // With more to choose from it takes no longer, by the search's model.
  const auto whole = Compile(request);
  request.splitting = placement::Splitting::kAuto;
  const auto free = Compile(request);
  ASSERT_TRUE(whole.ok() && free.ok()) << whole.status() << free.status();
  EXPECT_LT(free->search_seconds(), whole->search_seconds());
  EXPECT_GT(free->recomputation().gathered(), 0);
  request.splitting = placement::Splitting::kNone;

  request.recomputing = placement::Recomputing::kNone;
  EXPECT_EQ(Compile(request).status().code(),
            absl::StatusCode::kResourceExhausted);
  request.recomputing = placement::Recomputing::kAuto;
  request.host_memory_bytes = bytes_of(*least) / 2;
  const absl::Status refused = Compile(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("activations computed again"));
}

}  // namespace
}  // namespace facet::tests
