#include "placement/passes/append_optimizer.h"

#include <cmath>
#include <map>
#include <string>

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/passes/small_network.h"

namespace facet::placement {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<double>;

DifferentiatedGraph Differentiated(double loss_scale) {
  const SmallNetwork network = MakeSmallNetwork();
  absl::StatusOr<DifferentiatedGraph> result =
      Autodiff(network.graph, network.loss, loss_scale, ops::FindOp);
  CHECK(result.ok()) << result.status();
  return *std::move(result);
}

ops::Graph Training(const OptimizerOptions& options, double loss_scale = 0) {
  const absl::StatusOr<ops::Graph> graph =
      AppendOptimizer(Differentiated(loss_scale), options, ops::FindOp);
  CHECK(graph.ok()) << graph.status();
  const absl::Status verified = ops::VerifyGraph(*graph, ops::FindOp);
  CHECK(verified.ok()) << verified;
  return *graph;
}

// By variable: the name of its gradient.
std::map<std::string, std::string> Gradients() {
  const DifferentiatedGraph graph = Differentiated(0);
  std::map<std::string, std::string> names;
  for (const auto& [variable, gradient] : graph.gradients) {
    names[graph.graph.tensors[variable].name] =
        graph.graph.tensors[gradient].name;
  }
  return names;
}

void ExpectNear(const Values& got, const Values& want, double tolerance,
                const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], tolerance) << what << " element " << i;
  }
}

double SquareNorm(const Values& values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return sum;
}

// torch.optim.SGD and clip_grad_norm_, in float64.
TEST(AppendOptimizerTest, UpdatesAsTorchDoes) {
  OptimizerOptions options;
  options.learning_rate = 0.2;
  options.weight_decay = 0.01;
  options.clip_norm = 0.05;  // Small: it clips.
  const ops::Graph graph = Training(options);
  SmallRun run(graph);
  const std::map<std::string, std::string> gradients = Gradients();
  std::map<std::string, Values> weight, momentum;
  for (const auto& [name, unused] : gradients) {
    weight[name] = run.Get(name);
    momentum[name] = Values(weight[name].size(), 0);
  }
  for (int step = 0; step < 2; ++step) {
    run.Step();
    double norm = 0;
    for (const auto& [name, gradient] : gradients) {
      if (name != "head.weight") norm += SquareNorm(run.Get(gradient));
    }
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 2 * options.clip_norm);
    for (const auto& [name, gradient] : gradients) {
      const double factor =
          name == "head.weight" ? 1 : options.clip_norm / (norm + 1e-6);
      const Values g = run.Get(gradient);
      for (size_t i = 0; i < g.size(); ++i) {
        double& w = weight[name][i];
        double& m = momentum[name][i];
        m = options.momentum * m + factor * g[i] + options.weight_decay * w;
        w -= options.learning_rate * m;
      }
      ExpectNear(run.Get(name), weight[name], 1e-5, name);
      ExpectNear(run.Get(name + ".momentum"), momentum[name], 1e-5, name);
    }
  }
}

// Of steps that see different images: their mean gradient, clipped. The head's,
// which is not, gathers in its momentum.
TEST(AppendOptimizerTest, UpdatesByTheMeanGradientOfSeveralSteps) {
  OptimizerOptions options;
  options.learning_rate = 0.2;
  options.weight_decay = 0.01;
  options.clip_norm = 0.02;  // Small: it clips.
  options.accumulate = 3;
  const ops::Graph graph = Training(options);
  EXPECT_EQ(CountOp(graph, "accumulate_gradient"), 7);
  EXPECT_EQ(CountOp(graph, "mean_gradient"), 7);
  EXPECT_EQ(NodeOf(graph, "head.weight/sgd_update").origin.every, 1);
  EXPECT_EQ(NodeOf(graph, "fc.weight/sgd_update").origin.every, 3);
  EXPECT_EQ(NodeOf(graph, "clip_factor").origin.every, 3);
  SmallRun run(graph);
  const std::string images = graph.tensors[MakeSmallNetwork().images].name;
  const Values image_values = run.Get(images);
  const std::map<std::string, std::string> gradients = Gradients();
  std::map<std::string, Values> weight, momentum, mean;
  for (const auto& [name, unused] : gradients) {
    weight[name] = run.Get(name);
    momentum[name] = mean[name] = Values(weight[name].size(), 0);
  }
  for (int step = 0; step < 7; ++step) {
    Values shifted = image_values;
    for (size_t i = 0; i < shifted.size(); ++i) {
      shifted[i] += 0.1 * ((step * 7 + static_cast<int>(i)) % 5);
    }
    run.Set(images, shifted);
    run.Step();
    for (const auto& [name, gradient] : gradients) {
      const Values g = run.Get(gradient);
      for (size_t i = 0; i < g.size(); ++i) mean[name][i] += g[i] / 3;
    }
    if (step % 3 == 2) {
      double norm = 0;
      for (const auto& [name, unused] : gradients) {
        if (name != "head.weight") norm += SquareNorm(mean[name]);
      }
      norm = std::sqrt(norm);
      ASSERT_GT(norm, 2 * options.clip_norm);
      for (const auto& [name, unused] : gradients) {
        const double factor =
            name == "head.weight" ? 1 : options.clip_norm / (norm + 1e-6);
        for (size_t i = 0; i < mean[name].size(); ++i) {
          double& w = weight[name][i];
          double& m = momentum[name][i];
          m = options.momentum * m + factor * mean[name][i] +
              options.weight_decay * w;
          w -= options.learning_rate * m;
          mean[name][i] = 0;
        }
        ExpectNear(run.Get(name + ".momentum"), momentum[name], 1e-5, name);
      }
    }
    for (const auto& [name, unused] : gradients) {
      ExpectNear(run.Get(name), weight[name], 1e-5, name);
    }
  }
}

// The whole update is skipped, and the next one starts from nothing.
TEST(AppendOptimizerTest, AnOverflowInOneOfTheStepsSkipsTheirUpdate) {
  OptimizerOptions options;
  options.accumulate = 2;
  const ops::Graph graph = Training(options, 1024);
  SmallRun run(graph);
  EXPECT_EQ(CountOp(graph, "accumulate_gradient"), 8);  // The head's, too.
  const std::string images = graph.tensors[MakeSmallNetwork().images].name;
  const Values good = run.Get(images);
  Values bad = good;
  bad[3] = INFINITY;
  const Values before = run.Get("fc.weight");
  const Values head_before = run.Get("head.weight");
  run.Set(images, bad);
  run.Step();
  run.Set(images, good);
  EXPECT_EQ(run.Scalar("loss_scale"), 1024);
  run.Step();
  EXPECT_EQ(run.Get("fc.weight"), before);
  EXPECT_EQ(run.Get("head.weight"), head_before);
  EXPECT_EQ(run.Scalar("loss_scale"), 512);
  run.Step();
  EXPECT_EQ(run.Get("fc.weight"), before);
  run.Step();
  EXPECT_NE(run.Get("fc.weight"), before);
  for (double w : run.Get("head.weight")) EXPECT_TRUE(std::isfinite(w));
}

TEST(AppendOptimizerTest, NodesBelongToTheirVariable) {
  const ops::Graph graph = Training({});
  EXPECT_EQ(CountOp(graph, "learning_rate"), 1);
  EXPECT_EQ(CountOp(graph, "sgd_update"), 8);
  EXPECT_EQ(CountOp(graph, "square_norm"), 7);
  EXPECT_EQ(CountOp(graph, "clip_factor"), 1);
  EXPECT_EQ(CountOp(graph, "overflow"), 0);
  for (const char* name : {"conv2.weight.momentum", "conv2.weight/sgd_update",
                           "conv2.weight/square_norm"}) {
    const ops::Node& node = NodeOf(graph, name);
    EXPECT_EQ(node.origin.layer, "conv2") << name;
    EXPECT_EQ(node.origin.part, "backbone") << name;
    EXPECT_EQ(node.origin.phase, ops::Phase::kOptimizer) << name;
  }
  const ops::Node& momentum = NodeOf(graph, "conv2.weight.momentum");
  EXPECT_FALSE(momentum.attributes.Bool("trainable"));
  EXPECT_EQ(momentum.attributes.Float("value"), 0);
  // Neither clipped nor scaled: no factor.
  EXPECT_EQ(NodeOf(graph, "head.weight/sgd_update").inputs.size(), 4u);
  EXPECT_EQ(NodeOf(graph, "conv2.weight/sgd_update").inputs.size(), 5u);
}

TEST(AppendOptimizerTest, NoClipping) {
  OptimizerOptions options;
  options.clip_norm = 0;
  const ops::Graph graph = Training(options);
  EXPECT_EQ(CountOp(graph, "square_norm"), 0);
  EXPECT_EQ(CountOp(graph, "clip_factor"), 0);
  EXPECT_EQ(NodeOf(graph, "conv2.weight/sgd_update").inputs.size(), 4u);
}

TEST(AppendOptimizerTest, SchedulePassesTheOptionsOn) {
  OptimizerOptions options;
  options.learning_rate = 0.3;
  options.warmup_steps = 5;
  options.total_steps = 50;
  options.decay_power = 2;
  const ops::Graph graph = Training(options);
  const ops::Attributes& rate = NodeOf(graph, "learning_rate").attributes;
  EXPECT_EQ(rate.Float("base"), 0.3);
  EXPECT_EQ(rate.Int("warmup_steps"), 5);
  EXPECT_EQ(rate.Int("total_steps"), 50);
  EXPECT_EQ(rate.Float("power"), 2);
  options.total_steps = 3;
  const absl::Status status =
      AppendOptimizer(Differentiated(0), options, ops::FindOp).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("total_steps"));
}

// The scale is taken out again, with and without clipping.
TEST(AppendOptimizerTest, LossScaleDoesNotChangeTheUpdate) {
  for (double clip_norm : {0.0, 0.05}) {
    OptimizerOptions options;
    options.clip_norm = clip_norm;
    SmallRun plain(Training(options)), scaled(Training(options, 4096));
    for (int step = 0; step < 2; ++step) {
      plain.Step();
      scaled.Step();
    }
    for (const auto& [name, unused] : Gradients()) {
      ExpectNear(scaled.Get(name), plain.Get(name), 1e-5, name);
    }
    EXPECT_EQ(scaled.Scalar("loss_scale"), 4096);
    EXPECT_EQ(scaled.Scalar("loss_scale_good_steps"), 2);
  }
}

TEST(AppendOptimizerTest, OverflowSkipsTheStepAndHalvesTheScale) {
  for (double clip_norm : {0.0, 5.0}) {
    OptimizerOptions options;
    options.clip_norm = clip_norm;
    options.loss_scale_growth_interval = 2;
    // Squares of gradients of this size are infinite.
    SmallRun run(Training(options, 0x1p100));
    std::map<std::string, Values> before;
    for (const auto& [name, unused] : Gradients()) before[name] = run.Get(name);
    run.Step();
    for (const auto& [name, values] : before) {
      EXPECT_EQ(run.Get(name), values) << name;
      EXPECT_EQ(run.Get(name + ".momentum"), Values(values.size(), 0));
    }
    EXPECT_EQ(run.Scalar("loss_scale"), 0x1p99);
    EXPECT_EQ(run.Scalar("loss_scale_good_steps"), 0);
    run.Set("loss_scale", {8});
    run.Step();
    EXPECT_NE(run.Get("conv1.weight"), before["conv1.weight"]);
    EXPECT_EQ(run.Scalar("loss_scale"), 8);
    run.Step();
    EXPECT_EQ(run.Scalar("loss_scale"), 16);
  }
}

// Rows of a variable are updated, and nothing else of it; lazily if all rows
// are to take every step.
TEST(AppendOptimizerTest, RowsOfAVariable) {
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, ops::FindOp);
  const ops::TensorId w =
      builder.Add1("variable", "w", {},
                   {{"shape", std::vector<int64_t>{5, 3}}, {"clip", false}});
  const ops::TensorId rows = builder.Add1(
      "fill", "rows", {},
      {{"shape", std::vector<int64_t>{2, 2}}, {"dtype", std::string("int32")}});
  const ops::TensorId some = builder.Add1("gather_rows", "some", {w, rows});
  const ops::TensorId loss = AddLoss("loss", some, &builder);
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  for (const std::string row_update : {"sampled", "dense", "never"}) {
    SCOPED_TRACE(row_update);
    const absl::StatusOr<DifferentiatedGraph> differentiated =
        Autodiff(graph, loss, 0, ops::FindOp);
    ASSERT_TRUE(differentiated.ok()) << differentiated.status();
    OptimizerOptions options;
    options.row_update = row_update;
    const absl::StatusOr<ops::Graph> result =
        AppendOptimizer(*differentiated, options, ops::FindOp);
    if (row_update == "never") {
      EXPECT_EQ(result.status().message(),
                "row_update is \"never\"; use \"sampled\" or \"dense\"");
      continue;
    }
    ASSERT_TRUE(result.ok()) << result.status();
    const absl::Status verified = ops::VerifyGraph(*result, ops::FindOp);
    ASSERT_TRUE(verified.ok()) << verified;
    const bool dense = row_update == "dense";
    EXPECT_EQ(CountOp(*result, "gather_rows"), dense ? 0 : 1);
    EXPECT_EQ(CountOp(*result, "gather_rows_lazily"), dense ? 1 : 0);
    EXPECT_EQ(CountOp(*result, "sgd_update_rows"), dense ? 0 : 1);
    EXPECT_EQ(CountOp(*result, "sgd_update_rows_lazily"), dense ? 1 : 0);
    EXPECT_EQ(CountOp(*result, "decay_history_update"), dense ? 1 : 0);
    EXPECT_EQ(CountOp(*result, "sgd_update"), 0);
  }
}

// An overflow of a gradient that is not clipped counts as well.
TEST(AppendOptimizerTest, OverflowOfAnyGradientCounts) {
  const ops::Graph graph = Training({}, 1024);
  EXPECT_EQ(CountOp(graph, "square_norm"), 8);
  SmallRun run(graph);
  const Values head = run.Get("head.weight");
  const Values conv = run.Get("conv1.weight");
  run.Set(Gradients().at("head.weight"), Values(head.size(), INFINITY));
  run.Step();
  EXPECT_EQ(run.Get("head.weight"), head);
  EXPECT_EQ(run.Get("conv1.weight"), conv);
  EXPECT_EQ(run.Scalar("loss_scale"), 512);
}

}  // namespace
}  // namespace facet::placement
