#include "placement/compile.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/insert_boxing.h"
#include "placement/plan/plan_text.h"
#include "placement/plan/random_execution.h"

namespace facet::placement {
namespace {

struct Model {
  ops::Graph graph;
  ops::TensorId loss = ops::kNone;
};

// A backbone of residual blocks of two convolutions, and of a linear layer with
// 8 features; a face head of `classes`.
Model SmallModel(int64_t batch, int64_t classes, int blocks = 0) {
  Model model;
  model.graph.name = absl::StrCat("small, ", classes, " classes");
  ops::GraphBuilder b(&model.graph, ops::FindOp);
  b.set_origin({"", "backbone", ops::Phase::kForward, false});
  const auto data = b.Add("image_source", "data", {}, {{"batch_size", batch}});
  EXPECT_TRUE(data.ok()) << data.status();
  const ops::TensorId images = (*data)[0], labels = (*data)[1];
  auto variable = [&](const char* name, std::vector<int64_t> shape, bool clip) {
    return b.Add1("variable", name, {},
                  {{"shape", shape},
                   {"init", std::string("normal")},
                   {"stddev", 0.01},
                   {"clip", clip}});
  };
  ops::TensorId y = images;
  for (int i = 0; i < blocks; ++i) {
    const std::string name = absl::StrCat("block", i);
    const int64_t in = i == 0 ? 3 : 8;
    if (i == 0) {
      y = b.Add1("conv2d", "stem",
                 {y, variable("stem.weight", {8, in, 1, 1}, true)});
    }
    const ops::TensorId x = y;
    for (const char* layer : {".conv1", ".conv2"}) {
      y = b.Add1(
          "conv2d", name + layer,
          {y, variable((name + layer + ".weight").c_str(), {8, 8, 3, 3}, true)},
          {{"padding", int64_t{1}}});
    }
    y = b.Add1("add", name, {y, x});
  }
  const int64_t channels = blocks > 0 ? 8 : 3;
  const auto flat = b.Add1("flatten", "flatten", {y});
  const auto w = variable("linear.weight", {channels * 112 * 112, 8}, true);
  const auto x = b.Add1("matmul", "linear", {flat, w});
  b.set_origin({"", "head", ops::Phase::kForward, true});
  const auto centers = variable("head.weight", {classes, 8}, false);
  const auto features = b.Add1("l2_normalize", "features", {x});
  const auto unit = b.Add1("l2_normalize", "head.unit", {centers});
  const auto cos =
      b.Add1("matmul", "head.cos", {features, unit}, {{"transpose_b", true}});
  const auto logits = b.Add1("combined_margin", "margin", {cos, labels});
  const auto max = b.Add1("row_max", "row_max", {logits});
  const auto sum = b.Add1("row_sum_exp", "row_sum_exp", {logits, max});
  model.loss =
      b.Add1("softmax_cross_entropy", "loss", {logits, max, sum, labels});
  b.Add1("fetch", "report", {model.loss}, {{"name", std::string("loss")}});
  EXPECT_TRUE(b.status().ok()) << b.status();
  return model;
}

Cluster Devices(int count) {
  return UniformCluster(count, DeviceSpec(), MeshAxis());
}

std::string OptionOf(const Plan& plan, absl::string_view name) {
  for (const Option& option : plan.options()) {
    if (name == option.name()) return option.value();
  }
  return "";
}

TEST(Compile, TrainingPlansAreSafeAndTheSameEveryTime) {
  const Model model = SmallModel(12, 30);
  for (int k = 1; k <= 4; ++k) {
    for (Precision precision :
         {Precision::kFloat32, Precision::kFloat16, Precision::kBFloat16}) {
      CompileOptions options;
      options.loss = model.loss;
      options.precision = precision;
      const auto plan = Compile(model.graph, Devices(k), options);
      ASSERT_TRUE(plan.ok()) << k << ": " << plan.status();
      // Compile validates; this is the second opinion.
      const absl::Status ran = ExecuteRandomly(*plan, 2, k);
      EXPECT_TRUE(ran.ok()) << ran;
      const auto again = Compile(model.graph, Devices(k), options);
      ASSERT_TRUE(again.ok());
      EXPECT_EQ(plan->SerializeAsString(), again->SerializeAsString());
      int collectives = 0;
      for (const Task& task : plan->tasks()) {
        collectives += task.has_collective();
      }
      EXPECT_EQ(collectives > 0, k > 1);
    }
  }
}

TEST(Compile, InferenceHasNoOptimizer) {
  const auto plan =
      Compile(SmallModel(8, 30).graph, Devices(2), CompileOptions());
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const Task& task : plan->tasks()) {
    EXPECT_NE(task.phase(), "optimizer");
    EXPECT_EQ(task.mutates_size(), 0);
  }
}

// Many classes: the head's weight is split; few: it is not worth it.
TEST(Compile, PlacesTheHeadBySize) {
  auto head = [](int64_t batch, int64_t classes) -> std::string {
    const Model model = SmallModel(batch, classes);
    CompileOptions options;
    options.loss = model.loss;
    const auto plan = Compile(model.graph, Devices(4), options);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return "";
    for (const LogicalTensor& tensor : plan->tensors()) {
      if (tensor.name() == "head.weight") return tensor.sbp(0);
    }
    return "none";
  };
  EXPECT_EQ(head(64, 400000), "S(0)");
  EXPECT_EQ(head(256, 16), "B");
}

// Ops that can be split as what they replace are always fused, but not over a
// tensor that has a pin.
TEST(Compile, APinKeepsItsTensorFromBeingFused) {
  ops::Graph graph;
  ops::GraphBuilder b(&graph, ops::FindOp);
  const auto images =
      b.Add("image_source", "data", {}, {{"batch_size", int64_t{4}}});
  ASSERT_TRUE(images.ok()) << images.status();
  const ops::TensorId x = (*images)[0];
  const auto channels = [&](const char* name, double value) {
    return b.Add1("variable", name, {},
                  {{"shape", std::vector<int64_t>{3}}, {"value", value}});
  };
  const auto sums = b.Add("batch_norm_statistics", "sums", {x});
  ASSERT_TRUE(sums.ok()) << sums.status();
  const auto normal = b.Add1(
      "batch_norm", "normal",
      {x, (*sums)[0], (*sums)[1], channels("scale", 1), channels("bias", 0)});
  const auto y = b.Add1("prelu", "y", {normal, channels("alpha", 0.25)});
  const auto sum = b.Add1("square_norm", "sum", {y});
  b.Add1("fetch", "report", {sum}, {{"name", std::string("sum")}});
  ASSERT_TRUE(b.status().ok()) << b.status();
  for (const char* pinned : {"", "y", "normal"}) {
    CompileOptions options;
    if (*pinned != 0) options.pins[pinned] = ops::NdSbp(ops::Sbp::S(0));
    const auto plan = Compile(graph, Devices(2), options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    int fused = 0;
    for (const Task& task : plan->tasks()) {
      fused += task.op() == "batch_norm_prelu";
    }
    EXPECT_EQ(fused, pinned == std::string("normal") ? 0 : 2) << pinned;
    const absl::Status ran = ExecuteRandomly(*plan, 2, 1);
    EXPECT_TRUE(ran.ok()) << ran;
  }
}

TEST(Compile, RefusesWhatItCannotDo) {
  const Model model = SmallModel(8, 30);
  CompileOptions options;
  options.loss = model.loss;
  Cluster cluster = Devices(4);
  cluster.mesh = {MeshAxis(), MeshAxis()};
  cluster.mesh[0].size = 2;
  cluster.mesh[1].size = 3;
  absl::Status status = Compile(model.graph, cluster, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "2x3")) << status;

  cluster.mesh[1].size = 2;
  options.pins["head.weight"] = ops::Sbp::S(0);
  status = Compile(model.graph, cluster, options).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "1 axes; the mesh has 2"))
      << status;
  options.pins.clear();

  cluster = Devices(4);
  cluster.mesh[0].size = 3;
  status = Compile(model.graph, cluster, options).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "3 places for 4")) << status;

  options.loss = 0;
  status = Compile(model.graph, Devices(2), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "expected a scalar"))
      << status;
  options.loss = 12345;
  EXPECT_FALSE(Compile(model.graph, Devices(2), options).ok());

  options.loss = model.loss;
  options.pins["head.weigth"] = ops::Sbp::B();
  status = Compile(model.graph, Devices(2), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "head.weigth")) << status;
}

TEST(Compile, SaysHowMuchMemoryIsMissing) {
  const Model model = SmallModel(64, 400000);
  CompileOptions options;
  options.loss = model.loss;
  Cluster cluster = Devices(2);
  cluster.host_memory_bytes = 10 << 20;
  const absl::Status status = Compile(model.graph, cluster, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  for (const char* part : {"cpu:0 needs", "together", "10.00 MiB of host",
                           "head.weight", "--batch_size"}) {
    EXPECT_TRUE(absl::StrContains(status.message(), part)) << status;
  }
}

TEST(Compile, DumpsWhatThePassesChanged) {
  std::string folder = testing::TempDir() + "/compile_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const Model model = SmallModel(8, 30);
  CompileOptions options;
  options.loss = model.loss;
  options.dump_dir = folder;
  const auto plan = Compile(model.graph, Devices(2), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const char* name :
       {"00_model", "01_autodiff", "02_append_optimizer", "05_assign_sbp",
        "06_insert_boxing", "09_split_per_device", "11_group_tasks",
        "14_make_plan"}) {
    EXPECT_EQ(access(absl::StrCat(folder, "/", name, ".txt").c_str(), R_OK), 0)
        << name;
  }
  // Float32 everywhere, and no op whose kernels are a choice.
  EXPECT_NE(access((folder + "/03_apply_precision.txt").c_str(), R_OK), 0);
  EXPECT_NE(access((folder + "/10_choose_kernels.txt").c_str(), R_OK), 0);
  options.dump_dir = folder + "/missing";
  const absl::Status status =
      Compile(model.graph, Devices(2), options).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "missing")) << status;
  EXPECT_EQ(OptionOf(*plan, "precision"), "float32");
}

// Between what a plan needs with whole parameters and with split ones: they are
// split because that is what makes it fit.
TEST(CompileTest, ParametersAreSplitWhereMemoryDemandsIt) {
  const Model model = SmallModel(16, 100, /*blocks=*/1);
  Cluster cluster = Devices(4);
  CompileOptions options;
  options.loss = model.loss;
  options.recomputing = Recomputing::kNone;
  auto arena = [&](Splitting splitting) {
    options.splitting = splitting;
    const auto plan = Compile(model.graph, cluster, options);
    EXPECT_TRUE(plan.ok()) << plan.status();
    int64_t most = 0;
    for (const Device& device : plan->devices()) {
      most = std::max(most, device.arena_bytes());
    }
    return most;
  };
  const int64_t whole = arena(Splitting::kNone);
  const int64_t split = arena(Splitting::kAll);
  ASSERT_LT(split, whole);
  EXPECT_EQ(arena(Splitting::kAuto), whole);
  ASSERT_LT(split, whole * 0.96);
  const int64_t limit = (3 * split + whole) / 4;
  for (DeviceSpec& device : cluster.devices) device.memory_bytes = limit;
  EXPECT_LE(arena(Splitting::kAuto), limit);
  const auto plan = Compile(model.graph, cluster, options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(OptionOf(*plan, "parameters"), "split");
  for (const LogicalTensor& tensor : plan->tensors()) {
    if (tensor.name() == "linear.weight" ||
        tensor.name() == "linear.weight.momentum") {
      EXPECT_EQ(tensor.sbp(0), "S(0)") << tensor.name();
    }
  }
  EXPECT_TRUE(ExecuteRandomly(*plan, 3, 1).ok());
  options.splitting = Splitting::kNone;
  EXPECT_EQ(Compile(model.graph, cluster, options).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// A matrix of cosines that is most of what a plan needs.
TEST(CompileTest, LogitsAreMadeAgainWhereTheyDoNotFit) {
  const Model model = SmallModel(64, 80000);
  Cluster cluster = Devices(2);
  CompileOptions options;
  options.loss = model.loss;
  options.splitting = Splitting::kNone;
  const auto stored = Compile(model.graph, cluster, options);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_FALSE(stored->has_recomputation());
  const int64_t limit = stored->devices(0).arena_bytes() * 9 / 10;
  for (DeviceSpec& device : cluster.devices) device.memory_bytes = limit;
  const auto again = Compile(model.graph, cluster, options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->recomputation().logits());
  EXPECT_EQ(OptionOf(*again, "logits"), "made again");
  EXPECT_LE(again->devices(0).arena_bytes(), limit);
  EXPECT_GT(again->search_seconds(), stored->search_seconds());
  EXPECT_TRUE(ExecuteRandomly(*again, 3, 1).ok());
  // A pinned matrix is stored, whatever it needs.
  options.pins["head.cos"] = ops::NdSbp({ops::Sbp::S(1)});
  EXPECT_EQ(Compile(model.graph, cluster, options).status().code(),
            absl::StatusCode::kResourceExhausted);
  options.pins.clear();
  // All that can be, whatever is faster.
  options.recomputing = Recomputing::kAll;
  const auto all = Compile(model.graph, Devices(2), options);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(all->recomputation().logits());
  options.recomputing = Recomputing::kNone;
  EXPECT_EQ(Compile(model.graph, cluster, options).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// A parameter that is gathered once more for the backward pass costs what
// gathering it costs.
TEST(CompileTest, SecondGathersHaveTheirTime) {
  const Model model = SmallModel(16, 100, /*blocks=*/2);
  const Cluster cluster = Devices(4);
  CompileOptions options;
  options.loss = model.loss;
  const auto placed = PlaceModel(model.graph, cluster, options);
  ASSERT_TRUE(placed.ok()) << placed.status();
  const ops::Graph& graph = placed->front().graph;
  auto search = SbpSearch::Make(graph, cluster, {}, ops::FindOp,
                                {Parameters::kMaySplit, Keeping::kAll});
  ASSERT_TRUE(search.ok()) << search.status();
  const auto least = search->Least();
  ASSERT_TRUE(least.ok()) << least.status();
  double seconds = 0;
  for (const MadeAgain& again : least->again) {
    EXPECT_TRUE(again.gathered);
    const ops::Tensor& tensor = graph.tensors[again.tensor];
    EXPECT_EQ(
        again.seconds,
        BoxingRoutes(tensor.type, cluster, /*compute_waits=*/true)
            .Seconds(ops::NdSbp({ops::Sbp::S(0)}), ops::NdSbp({ops::Sbp::B()})))
        << tensor.name;
    EXPECT_EQ(again.bytes, 4.0 * tensor.type.shape.num_elements())
        << tensor.name;
    seconds += again.seconds;
  }
  EXPECT_GT(seconds, 0);
  // The gathers that make it again are marked, and no others.
  const auto boxed = InsertBoxing(graph, *least, ops::FindOp);
  ASSERT_TRUE(boxed.ok()) << boxed.status();
  size_t marked = 0;
  for (const ops::Node& node : boxed->graph.nodes) {
    EXPECT_EQ(node.origin.again, absl::EndsWith(node.name, "/again"))
        << node.name;
    marked += node.origin.again;
  }
  EXPECT_EQ(marked, least->again.size());
}

// From what a plan needs that is made for speed down to what nothing can do
// with: all plans fit, are safe, and take no less time for less memory.
TEST(CompileTest, PlansFitIntoLessAndLessMemory) {
  const Model model = SmallModel(16, 100, /*blocks=*/4);
  CompileOptions options;
  options.loss = model.loss;
  Cluster cluster = Devices(4);
  const auto largest = [](const Plan& plan) {
    int64_t most = 0;
    for (const Device& device : plan.devices()) {
      most = std::max(most, device.arena_bytes());
    }
    return most;
  };
  const auto free = Compile(model.graph, cluster, options);
  ASSERT_TRUE(free.ok()) << free.status();
  const int64_t most = largest(*free);
  double fewest_seconds = 0, seconds = 0;
  int plans = 0;
  for (int part = 98; part > 0; part -= 3) {
    for (DeviceSpec& device : cluster.devices) {
      device.memory_bytes = most * part / 100;
    }
    const auto plan = Compile(model.graph, cluster, options);
    if (!plan.ok()) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
      EXPECT_TRUE(absl::StrContains(plan.status().message(), "needs"))
          << plan.status();
      break;
    }
    ++plans;
    EXPECT_LE(largest(*plan), most * part / 100);
    EXPECT_GE(plan->search_seconds(), seconds * (1 - 1e-9)) << part;
    EXPECT_LE(plan->search_lower_bound_seconds(), plan->search_seconds());
    seconds = plan->search_seconds();
    if (plans == 1) fewest_seconds = seconds;
    EXPECT_TRUE(ExecuteRandomly(*plan, 2, part).ok());
  }
  EXPECT_GT(plans, 5);
  EXPECT_GT(seconds, fewest_seconds);
}

}  // namespace
}  // namespace facet::placement
