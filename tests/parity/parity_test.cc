// The same numbers as arcface_torch: its own code, run in float64 on the same
// weights and images, gave the goldens; here the model, the gradients and the
// optimizer's steps run in float32. See tools/parity/make_goldens.py.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "models/train_graph.h"
#include "ops/cpu_kernels.h"
#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/autodiff.h"
#include "placement/passes/fuse.h"
#include "tests/parity/formula.h"
#include "tests/parity/golden.h"

namespace facet::tests {
namespace {

using ops::TensorId;

constexpr int64_t kPixels = 3 * 112 * 112;

// How far float32 may be from float64. Norms are relative to the norm; single
// elements to the root mean square, since the noise of all others reaches them.
struct Tolerance {
  double norm = 0;
  double element = 0;
};
constexpr double kLossTolerance = 1e-5;
// What is a smooth function of weights and images.
constexpr Tolerance kSmooth = {1e-4, 2e-4};
// Gradients through PReLU's kink. One input of ten million that lies within
// rounding of 0 and falls on its other side moved gradients of the layers
// before it by 4e-4 (norm) and 2e-3 (element); which, depends on the machine.
// The cases that stay clear of kinks are held to kSmooth.
constexpr Tolerance kKinked = {2e-3, 1e-2};
// An update is small beside the float32 weight that it is taken from.
constexpr Tolerance kUpdate = {2e-3, 2e-2};

class FormulaSource : public ops::DataSource {
 public:
  explicit FormulaSource(const Golden& golden)
      : images_(UniformAt("images", golden.batch * kPixels)),
        classes_(golden.classes) {}

  absl::Status Read(int64_t, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    std::copy(images_.begin() + begin * kPixels,
              images_.begin() + end * kPixels, images);
    for (int64_t i = begin; i < end; ++i) {
      *labels++ = static_cast<int32_t>((7 + 11 * i) % classes_);
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<double> images_;
  const int64_t classes_;
};

class LossSink : public ops::FetchSink {
 public:
  absl::Status OnFetch(int64_t, absl::string_view name, int,
                       const ops::TensorView& value) override {
    if (name == "loss") losses_.push_back(*value.as<float>());
    return absl::OkStatus();
  }
  const std::vector<double>& losses() const { return losses_; }

 private:
  std::vector<double> losses_;
};

double Norm(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return std::sqrt(sum);
}

// The largest norm of a kind: what is nothing beside it (the gradient of a
// bias that a batch norm takes away again) is compared with zero.
double LargestNorm(const std::map<std::string, GoldenTensor>& tensors) {
  double largest = 0;
  for (const auto& [name, tensor] : tensors) {
    largest = std::max(largest, tensor.norm);
  }
  return largest;
}

class Comparison {
 public:
  Comparison(const Golden& golden, const std::string& kind, Tolerance tolerance)
      : kind_(kind),
        tensors_(golden.tensors.at(kind)),
        tolerance_(tolerance),
        floor_(1e-3 * LargestNorm(tensors_)) {}

  void Compare(const std::string& name, const std::vector<double>& values) {
    SCOPED_TRACE(absl::StrCat(kind_, " ", name));
    auto it = tensors_.find(name);
    ASSERT_TRUE(it != tensors_.end()) << "arcface_torch has none";
    const GoldenTensor& want = it->second;
    ASSERT_EQ(static_cast<int64_t>(values.size()), want.size);
    ++compared_;
    const double scale = std::max(want.norm, floor_);
    EXPECT_NEAR(Norm(values), want.norm, tolerance_.norm * scale);
    const double bound =
        tolerance_.element * scale / std::sqrt(static_cast<double>(want.size));
    for (const auto& [index, value] : want.elements) {
      EXPECT_NEAR(values[index], value, bound) << "element " << index;
      worst_ = std::max(worst_, std::abs(values[index] - value) / bound);
    }
  }

  // One of the golden's tensors is not to be had.
  void Skip() { ++compared_; }

  // All of the golden's tensors of this kind were compared.
  void ExpectComplete() const {
    EXPECT_EQ(compared_, tensors_.size()) << kind_;
    testing::Test::RecordProperty(absl::StrCat("worst_", kind_),
                                  absl::StrCat(worst_ * tolerance_.element));
  }

 private:
  const std::string kind_;
  const std::map<std::string, GoldenTensor>& tensors_;
  const Tolerance tolerance_;
  const double floor_;
  size_t compared_ = 0;
  double worst_ = 0;
};

// One case, set up to run.
class ParityTest : public testing::Test {
 protected:
  void Prepare(const std::string& name, bool fused) {
    absl::StatusOr<Golden> golden =
        ReadGolden(absl::StrCat("tests/parity/goldens/", name, ".txt"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
    models::TrainConfig config;
    config.network = golden_.network;
    config.embedding = golden_.embedding_size;
    config.classes = golden_.classes;
    config.batch_size = golden_.batch;
    config.margin = {golden_.margin[0], golden_.margin[1], golden_.margin[2]};
    absl::StatusOr<models::TrainModel> model =
        models::BuildTrainGraph(config, ops::FindOp);
    ASSERT_TRUE(model.ok()) << model.status();
    absl::StatusOr<placement::DifferentiatedGraph> differentiated =
        placement::Autodiff(std::move(model->graph), model->loss,
                            /*loss_scale_initial=*/0, ops::FindOp);
    ASSERT_TRUE(differentiated.ok()) << differentiated.status();
    for (const auto& [variable, gradient] : differentiated->gradients) {
      gradients_.emplace_back(differentiated->graph.tensors[variable].name,
                              differentiated->graph.tensors[gradient].name);
    }
    placement::OptimizerOptions options;
    options.learning_rate = golden_.rate;
    options.momentum = golden_.momentum;
    options.weight_decay = golden_.decay;
    options.clip_norm = golden_.clip;
    absl::StatusOr<ops::Graph> graph = placement::AppendOptimizer(
        *std::move(differentiated), options, ops::FindOp);
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    if (fused) {
      const size_t before = graph_.nodes.size();
      graph = placement::Fuse(std::move(graph_), ops::AllOps(),
                              placement::FuseRules::kAll, ops::FindOp);
      ASSERT_TRUE(graph.ok()) << graph.status();
      graph_ = *std::move(graph);
      ASSERT_LT(graph_.nodes.size(), before) << "nothing was fused";
    }
    const absl::Status verified = ops::VerifyGraph(graph_, ops::FindOp);
    ASSERT_TRUE(verified.ok()) << verified;
  }

  std::vector<double> Value(const ops::Interpreter& interpreter,
                            const std::string& name) const {
    const TensorId tensor = ops::FindTensor(graph_, name);
    EXPECT_NE(tensor, ops::kNone) << name;
    return tensor == ops::kNone ? std::vector<double>()
                                : interpreter.value(tensor).ToDoubles();
  }

  void Run(const std::string& name, bool fused) {
    ASSERT_NO_FATAL_FAILURE(Prepare(name, fused));
    FormulaSource source(golden_);
    LossSink sink;
    ops::RunOptions options;
    options.data_source = &source;
    options.fetch_sink = &sink;
    absl::StatusOr<ops::Interpreter> interpreter = ops::Interpreter::Create(
        &graph_, ops::FindOp, &ops::CpuKernels(), options);
    ASSERT_TRUE(interpreter.ok()) << interpreter.status();
    for (const auto& [parameter, golden] : golden_.tensors.at("update")) {
      const TensorId tensor = ops::FindTensor(graph_, parameter);
      ASSERT_NE(tensor, ops::kNone) << parameter;
      ops::HostValue value = ops::HostValue::Whole(graph_.tensors[tensor].type);
      value.FromDoubles(
          ParameterAt(parameter, value.slice().shape, golden_.clear_of_kinks));
      interpreter->Set(tensor, std::move(value));
    }

    for (size_t step = 0; step < golden_.losses.size(); ++step) {
      const absl::Status status = interpreter->Step();
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(sink.losses().size(), step + 1);
      EXPECT_NEAR(sink.losses()[step], golden_.losses[step],
                  kLossTolerance * golden_.losses[0])
          << "step " << step;
      if (step == 0) CompareFirstStep(*interpreter, fused);
    }
    Comparison updates(golden_, "update", kUpdate);
    for (const auto& [parameter, golden] : golden_.tensors.at("update")) {
      std::vector<double> update = Value(*interpreter, parameter);
      const TensorId tensor = ops::FindTensor(graph_, parameter);
      const std::vector<double> start = ParameterAt(
          parameter, graph_.tensors[tensor].type.shape, golden_.clear_of_kinks);
      for (size_t i = 0; i < update.size(); ++i) update[i] -= start[i];
      updates.Compare(parameter, update);
    }
    updates.ExpectComplete();
  }

  void CompareFirstStep(const ops::Interpreter& interpreter, bool fused) {
    Comparison embedding(golden_, "embedding", kSmooth);
    embedding.Compare("embedding", Value(interpreter, "features"));
    embedding.ExpectComplete();
    Comparison gradients(golden_, "gradient",
                         golden_.clear_of_kinks ? kSmooth : kKinked);
    for (const auto& [variable, gradient] : gradients_) {
      if (fused && variable == "head.weight") {
        // The update by tiles never stores it.
        EXPECT_EQ(ops::FindTensor(graph_, gradient), ops::kNone);
        gradients.Skip();
        continue;
      }
      gradients.Compare(variable, Value(interpreter, gradient));
    }
    gradients.ExpectComplete();
    Comparison running(golden_, "running", kSmooth);
    for (const auto& [buffer, golden] : golden_.tensors.at("running")) {
      running.Compare(buffer, Value(interpreter, buffer));
    }
    running.ExpectComplete();
  }

  Golden golden_;
  ops::Graph graph_;
  // (variable, gradient), names.
  std::vector<std::pair<std::string, std::string>> gradients_;
};

TEST_F(ParityTest, ArcFace) { Run("r18_arcface", /*fused=*/false); }
TEST_F(ParityTest, CosFaceFused) { Run("r18_cosface", /*fused=*/true); }
TEST_F(ParityTest, ArcFaceThroughKinks) {
  Run("r18_arcface_kinked", /*fused=*/false);
}

TEST(GoldenTest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_TRUE(absl::IsNotFound(ReadGolden("no/such/file").status()));
  for (const char* line :
       {"batch four", "batches 4", "loss 1 38.4", "tensor gradient w 4",
        "tensor gradient w 4 1.5 4 0.1", "tensor gradient w 4 1.5 0"}) {
    const std::string path = testing::TempDir() + "/golden.txt";
    std::ofstream(path) << "# comment\nclasses 50\n" << line << "\n";
    const absl::Status status = ReadGolden(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << line;
    EXPECT_NE(status.message().find(absl::StrCat(":3: not understood: ", line)),
              absl::string_view::npos)
        << status;
  }
}

}  // namespace
}  // namespace facet::tests
