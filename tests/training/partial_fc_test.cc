// Partial FC in whole steps: against a full head in which the classes that are
// not sampled are masked, in float precision but otherwise by the plain graph;
// and on any number of devices.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/face_head.h"
#include "models/layers.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/random.h"
#include "ops/testing/interpreter.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/autodiff.h"
#include "tests/training/small_training.h"

namespace facet::tests {
namespace {

using ops::HostValue;
using ops::TensorId;
using placement::OptimizerOptions;

constexpr int64_t kBatch = 5, kDimension = 12, kClasses = 47, kSeed = 9;
constexpr float kOut = -1e30f;

void Check(const absl::Status& status) { CHECK(status.ok()) << status; }

// A face head on features that are a trained variable, run op by op.
class Head {
 public:
  // Partial FC by its own ops, or a full head with a mask to set.
  Head(double rate, bool partial, const OptimizerOptions& options) {
    ops::Graph graph;
    ops::GraphBuilder builder(&graph, ops::FindOp);
    const TensorId features =
        builder.Add1("variable", "features", {},
                     {{"shape", std::vector<int64_t>{kBatch, kDimension}},
                      {"init", std::string("normal")}});
    const TensorId labels =
        builder.Add1("variable", "labels", {},
                     {{"shape", std::vector<int64_t>{kBatch}},
                      {"dtype", std::string("int32")},
                      {"trainable", false}});
    models::FaceHeadConfig config;
    config.classes = kClasses;
    config.scale = 8;  // No class is negligible.
    config.sample_rate = partial ? rate : 1;
    config.class_groups = partial ? 3 : 1;
    const auto head = AddFaceHead(config, features, labels, &builder);
    Check(head.status());
    TensorId loss = head->loss;
    if (!partial) Mask(&graph, &builder);
    auto differentiated = placement::Autodiff(graph, loss, 0, ops::FindOp);
    Check(differentiated.status());
    auto with_optimizer = placement::AppendOptimizer(*std::move(differentiated),
                                                     options, ops::FindOp);
    Check(with_optimizer.status());
    graph_ = *std::move(with_optimizer);
    Check(ops::VerifyGraph(graph_, ops::FindOp));
    ops::RunOptions run;
    run.seed = kSeed;
    auto interpreter =
        ops::Interpreter::Create(&graph_, ops::FindOp, &ops::CpuKernels(), run);
    Check(interpreter.status());
    interpreter_.emplace(*std::move(interpreter));
  }
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  void Step() { Check(interpreter_->Step()); }
  std::vector<double> Get(absl::string_view name) const {
    return interpreter_->value(Find(name)).ToDoubles();
  }
  void Set(absl::string_view name, const std::vector<double>& values) {
    HostValue value = HostValue::Whole(graph_.tensors[Find(name)].type);
    value.FromDoubles(values);
    interpreter_->Set(Find(name), value);
  }
  // What a session does before it reads variables.
  void Settle(int64_t steps) {
    ops::RunOptions run;
    run.step = steps;
    for (const ops::Node& node : graph_.nodes) {
      const ops::SettleRule& rule = ops::FindOp(node.op)->settle;
      if (rule.op.empty()) continue;
      std::vector<HostValue> inputs;
      for (int i : rule.inputs) {
        inputs.push_back(interpreter_->value(node.inputs[i]));
      }
      Check(ops::RunOp(*ops::FindOp(rule.op), {}, inputs, {}, run,
                       ops::CpuKernels())
                .status());
    }
  }

 private:
  TensorId Find(absl::string_view name) const {
    const TensorId id = ops::FindTensor(graph_, name);
    CHECK_NE(id, ops::kNone) << std::string(name);
    return id;
  }

  // What read the logits reads logits + mask, from the row maximum on.
  static void Mask(ops::Graph* graph, ops::GraphBuilder* builder) {
    const TensorId logits = ops::FindTensor(*graph, "head.logits");
    const ops::NodeId first = graph->tensors[logits].producer + 1;
    std::vector<ops::Node> rest(graph->nodes.begin() + first,
                                graph->nodes.end());
    // In a graph, nodes come after what they read: add the mask at the end,
    // then move the readers behind it.
    const TensorId mask =
        builder->Add1("variable", "mask", {},
                      {{"shape", std::vector<int64_t>{kBatch, kClasses}},
                       {"trainable", false}});
    const TensorId masked = builder->Add1("add", "masked", {logits, mask});
    Check(builder->status());
    std::vector<ops::Node> added(graph->nodes.end() - 2, graph->nodes.end());
    graph->nodes.resize(first);
    for (ops::Node& node : added) graph->nodes.push_back(std::move(node));
    for (ops::Node& node : rest) {
      for (TensorId& input : node.inputs) {
        if (input == logits) input = masked;
      }
      graph->nodes.push_back(std::move(node));
    }
    for (size_t n = 0; n < graph->nodes.size(); ++n) {
      for (TensorId t : graph->nodes[n].outputs) {
        graph->tensors[t].producer = static_cast<ops::NodeId>(n);
      }
    }
    Check(ops::VerifyGraph(*graph, ops::FindOp));
  }

  ops::Graph graph_;
  std::optional<ops::Interpreter> interpreter_;
};

std::vector<double> Labels(int64_t step) {
  std::vector<double> labels;
  for (int64_t i = 0; i < kBatch; ++i) {
    labels.push_back(static_cast<double>((step * 7 + i * i) % kClasses));
  }
  return labels;
}

// By the definition in ops/sample_classes/sampling.h.
std::vector<bool> Sampled(double rate, int64_t step) {
  const std::vector<double> labels = Labels(step);
  std::vector<bool> sampled;
  for (int64_t c = 0; c < kClasses; ++c) {
    const uint32_t word = ops::RandomWord(
        {kSeed, models::NameKey("head.sample"), static_cast<uint32_t>(step)},
        c);
    sampled.push_back(
        std::count(labels.begin(), labels.end(), static_cast<double>(c)) > 0 ||
        static_cast<double>(word) < std::floor(rate * 0x1p32));
  }
  return sampled;
}

void ExpectNear(const std::vector<double>& got, const std::vector<double>& want,
                absl::string_view what) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 1e-6;
  for (double value : want) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], 2e-5 * largest)
        << std::string(what) << " " << i;
  }
}

// Restores rows of a [kClasses, kDimension] matrix that are not sampled.
void KeepRows(const std::vector<bool>& sampled,
              const std::vector<double>& before, std::vector<double>* now) {
  for (int64_t i = 0; i < kClasses * kDimension; ++i) {
    if (!sampled[i / kDimension]) (*now)[i] = before[i];
  }
}

TEST(PartialFcTest, IsAFullHeadWithTheOtherClassesMasked) {
  for (const std::string row_update : {"sampled", "dense"}) {
    for (double rate : {0.0, 0.1, 0.6}) {
      SCOPED_TRACE(testing::Message() << row_update << ", rate " << rate);
      OptimizerOptions options;
      options.learning_rate = 0.5;
      options.warmup_steps = 5;  // The rate changes in every step.
      options.total_steps = 60;
      options.weight_decay = 0.02;
      options.row_update = row_update;
      Head partial(rate, /*partial=*/true, options);
      Head full(rate, /*partial=*/false, options);
      const int steps = 40;
      for (int64_t step = 0; step < steps; ++step) {
        const std::vector<bool> sampled = Sampled(rate, step);
        std::vector<double> mask;
        for (int64_t i = 0; i < kBatch * kClasses; ++i) {
          mask.push_back(sampled[i % kClasses] ? 0 : kOut);
        }
        full.Set("mask", mask);
        for (Head* head : {&partial, &full}) head->Set("labels", Labels(step));
        const std::vector<double> w = full.Get("head.weight");
        const std::vector<double> m = full.Get("head.weight.momentum");
        partial.Step();
        full.Step();
        if (row_update == "sampled") {
          for (const auto& [name, before] :
               {std::make_pair("head.weight", w),
                std::make_pair("head.weight.momentum", m)}) {
            std::vector<double> now = full.Get(name);
            KeepRows(sampled, before, &now);
            full.Set(name, now);
          }
        }
        ASSERT_NEAR(partial.Get("loss")[0], full.Get("loss")[0],
                    1e-5 * full.Get("loss")[0]);
        ExpectNear(partial.Get("features"), full.Get("features"), "features");
        if (testing::Test::HasFatalFailure()) return;
      }
      partial.Settle(steps);
      for (const char* name :
           {"head.weight", "head.weight.momentum", "features.momentum"}) {
        ExpectNear(partial.Get(name), full.Get(name), name);
      }
    }
  }
}

// What is left to be seen of variables: names of state that depends on when
// rows were touched.
bool IsBookkeeping(const std::string& name) {
  return name == "decay_history" || name == "head.weight.updated";
}

TrainingResult MustTrain(const SmallTraining& training) {
  absl::StatusOr<TrainingResult> result = Train(training);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TrainingResult{};
}

void ExpectEqualTraining(const TrainingResult& a, const TrainingResult& b,
                         double tolerance = 1e-4) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t s = 0; s < a.losses.size(); ++s) {
    EXPECT_NEAR(a.losses[s], b.losses[s], tolerance * std::abs(a.losses[s]))
        << "step " << s;
  }
  int compared = 0;
  for (const auto& [name, value] : a.variables) {
    if (IsBookkeeping(name)) continue;
    ASSERT_TRUE(b.variables.count(name) > 0) << name;
    EXPECT_LE(RelativeDifference(value, b.variables.at(name)), tolerance)
        << name;
    ++compared;
  }
  EXPECT_GT(compared, 20);
}

std::string SbpOf(const placement::Plan& plan, const std::string& tensor) {
  for (const placement::LogicalTensor& t : plan.tensors()) {
    if (t.name() == tensor) return t.sbp(0);
  }
  return "no such tensor";
}

int Count(const placement::Plan& plan, const std::string& op) {
  int count = 0;
  for (const placement::Task& task : plan.tasks()) count += task.op() == op;
  return count;
}

SmallTraining Partial(const std::string& row_update, double rate) {
  SmallTraining training;
  training.classes = 1003;   // Uneven on 2, 4 and 8 devices,
  training.batch_size = 13;  // and so is the batch on all.
  training.sample_rate = rate;
  training.options.optimizer.row_update = row_update;
  training.options.optimizer.learning_rate = 0.05;
  training.options.optimizer.warmup_steps = 3;
  return training;
}

TEST(PartialFcTest, AnyNumberOfDevicesTrainsTheSame) {
  for (const std::string row_update : {"sampled", "dense"}) {
    for (double rate : {0.0, 0.3}) {
      SCOPED_TRACE(testing::Message() << row_update << ", rate " << rate);
      SmallTraining training = Partial(row_update, rate);
      const TrainingResult one = MustTrain(training);
      ASSERT_EQ(one.losses.size(), 5u);
      training.options.pins["head.weight"] = ops::Sbp::S(0);
      for (int devices : {2, 3, 4, 8}) {
        SCOPED_TRACE(devices);
        training.devices = devices;
        const TrainingResult many = MustTrain(training);
        EXPECT_EQ(SbpOf(many.plan, "head.weight"), "S(0)");
        EXPECT_EQ(SbpOf(many.plan, "head.sampled"), "S(0)");
        ExpectEqualTraining(one, many);
      }
    }
  }
}

// The groups are a property of the program, not of the devices it runs on.
TEST(PartialFcTest, AnyNumberOfGroupsTrainsTheSame) {
  SmallTraining training = Partial("sampled", 0.2);
  const TrainingResult one = MustTrain(training);
  for (int64_t groups : {3, 8}) {
    training.class_groups = groups;
    ExpectEqualTraining(one, MustTrain(training));
    training.devices = 2;  // All groups on both.
    ExpectEqualTraining(one, MustTrain(training));
    training.devices = 1;
  }
}

TEST(PartialFcTest, TheCompiledStepIsTheGraphRunOpByOp) {
  SmallTraining training = Partial("sampled", 0.3);
  training.classes = 101;
  const absl::StatusOr<TrainingResult> oracle = Interpret(training);
  ASSERT_TRUE(oracle.ok()) << oracle.status();
  ExpectEqualTraining(*oracle, MustTrain(training));
}

TEST(PartialFcTest, FusedOrNotTrainsTheSame) {
  for (const std::string row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = Partial(row_update, 0.3);
    training.devices = 2;
    training.options.pins["head.weight"] = ops::Sbp::S(0);
    const std::string op = row_update == "dense"
                               ? "cosine_linear_sgd_rows_lazily"
                               : "cosine_linear_sgd_rows";
    const TrainingResult fused = MustTrain(training);
    EXPECT_EQ(Count(fused.plan, op), 2);
    EXPECT_EQ(fused.plan.settle_tasks_size(), row_update == "dense" ? 2 : 0);
    training.options.fuse = false;
    const TrainingResult plain = MustTrain(training);
    EXPECT_EQ(Count(plain.plan, op), 0);
    EXPECT_EQ(Count(plain.plan, "matmul") > 0, true);
    ExpectEqualTraining(fused, plain);
  }
}

// An overflow leaves all weights as they were, those that are behind, too:
// what is read is what training up to the step before gives.
TEST(PartialFcTest, AnOverflowSkipsTheStepOfAllRows) {
  for (const std::string row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = Partial(row_update, 0.2);
    training.devices = 2;
    training.options.precision = placement::Precision::kFloat16;
    training.options.initial_loss_scale = 1024;
    training.steps = 3;
    const TrainingResult before = MustTrain(training);
    training.steps = 4;
    training.spoiled_step = 3;
    training.spoil = 1e30f;  // Infinite in float16.
    const TrainingResult after = MustTrain(training);
    EXPECT_EQ(after.variables.at("loss_scale").as<float>()[0], 512);
    for (const char* name : {"head.weight", "head.weight.momentum"}) {
      EXPECT_LE(RelativeDifference(before.variables.at(name),
                                   after.variables.at(name)),
                row_update == "dense" ? 1e-6 : 0)
          << name;
    }
  }
}

TEST(PartialFcTest, ReadingAndWritingVariablesInBetweenChangesNothing) {
  for (const std::string row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    SmallTraining training = Partial(row_update, 0.2);
    training.devices = 2;
    const TrainingResult want = MustTrain(training);
    training.read_after = 3;
    // Dense: rows are caught up in two goes instead of one, which rounds twice.
    ExpectEqualTraining(want, MustTrain(training),
                        row_update == "sampled" ? 0 : 1e-4);
  }
}

// Of a row that no step has touched the update is known: what is read from a
// session is that, though nothing was computed for the row during the steps.
TEST(PartialFcTest, ReadVariablesAreCaughtUp) {
  SmallTraining training = Partial("dense", 0);
  training.devices = 2;
  training.options.optimizer.warmup_steps = 0;
  training.options.optimizer.total_steps = 0;
  training.options.optimizer.weight_decay = 0.5;
  const placement::OptimizerOptions& sgd = training.options.optimizer;
  training.steps = 0;
  const TrainingResult start = MustTrain(training);
  training.steps = 4;
  const TrainingResult end = MustTrain(training);
  const float* before = start.variables.at("head.weight").as<float>();
  const float* after = end.variables.at("head.weight").as<float>();
  const int64_t columns = end.variables.at("head.weight").shape[1];
  int64_t untouched = 0;
  for (int64_t row = 0; row < training.classes; ++row) {
    bool as_known = true;
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      double w = before[i], m = 0;
      for (int64_t step = 0; step < training.steps; ++step) {
        m = sgd.momentum * m + sgd.weight_decay * w;
        w -= sgd.learning_rate * m;
      }
      // The decay takes 18 % of it: far above this tolerance.
      as_known = as_known && std::abs(after[i] - w) <= 1e-5 * std::abs(w);
    }
    untouched += as_known;
  }
  EXPECT_GE(untouched, training.classes - training.batch_size * training.steps);
}

TEST(PartialFcTest, TheSameTwiceIsTheSameBits) {
  SmallTraining training = Partial("dense", 0.2);
  training.devices = 3;
  const TrainingResult a = MustTrain(training), b = MustTrain(training);
  EXPECT_EQ(a.losses, b.losses);
  for (const auto& [name, value] : a.variables) {
    EXPECT_EQ(value.data, b.variables.at(name).data) << name;
  }
}

}  // namespace
}  // namespace facet::tests
