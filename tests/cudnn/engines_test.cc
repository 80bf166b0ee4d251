// Which engines the real cuDNN has for the convolutions of our networks, on
// GPUs that need not be here: it takes our graphs, within the workspace that we
// plan for it. Needs --config=cuda and cuDNN 9.8; skipped otherwise.

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "models/train_graph.h"
#include "ops/conv2d/cudnn_convolution.h"
#include "ops/conv2d/device_convolution.h"
#include "ops/op_table.h"
#include "tests/cudnn/described_gpus.h"

namespace facet {
namespace {

using ops::ConvolutionDirection;
using ops::ConvolutionProblem;
using ops::DataType;
using ops::Layout;

constexpr int64_t kBatch = 128;  // The published rows', per device.

ops::TensorSlice Whole(const ops::TensorType& type, DataType dtype,
                       Layout layout) {
  ops::TensorSlice slice;
  slice.dtype = dtype;
  slice.layout = layout;
  slice.shape = slice.global_shape = type.shape;
  slice.offset = {0, 0, 0, 0};
  return slice;
}

using Problems = std::map<std::string, ConvolutionProblem>;

// Adds the forward convolutions of a network, by a name for people.
void AddConvolutions(const std::string& network, DataType dtype,
                     Problems* all) {
  models::TrainConfig config;
  config.network = network;
  config.classes = 1000;
  config.batch_size = kBatch;
  const auto model = models::BuildTrainGraph(config, ops::FindOp);
  ASSERT_TRUE(model.ok()) << model.status();
  const ops::Graph& graph = model->graph;
  for (const ops::Node& node : graph.nodes) {
    if (node.op != "conv2d") continue;
    auto type = [&](ops::TensorId t) { return graph.tensors[t].type; };
    ConvolutionProblem problem;
    problem.x = Whole(type(node.inputs[0]), dtype, Layout::kChannelsLast);
    problem.w = Whole(type(node.inputs[1]), dtype, Layout::kRowMajor);
    problem.y = Whole(type(node.outputs[0]), dtype, Layout::kChannelsLast);
    problem.stride = node.attributes.Int("stride");
    problem.padding = node.attributes.Int("padding");
    all->emplace(
        absl::StrCat(problem.x.shape.ToString(), " with ",
                     problem.w.shape.ToString(), ", stride ", problem.stride),
        problem);
  }
}

// Of all networks, each once.
Problems Convolutions(DataType dtype) {
  Problems all;
  for (const char* network : {"r18", "r50", "r100", "r200"}) {
    AddConvolutions(network, dtype, &all);
  }
  return all;
}

ConvolutionProblem Towards(ConvolutionDirection direction,
                           ConvolutionProblem problem) {
  problem.direction = direction;
  if (direction == ConvolutionDirection::kGradWeight) {
    problem.w.dtype = DataType::kFloat32;
  }
  return problem;
}

absl::Status Create(const ops::CudnnTarget& target,
                    const ConvolutionProblem& problem, int engine,
                    bool statistics) {
  const ops::DeviceConvolutionPlan plan(problem);
  return ops::CudnnConvolution::Create(target, plan.wanted, plan.cudnn_bytes,
                                       engine, statistics)
      .status();
}

class CudnnEnginesTest : public testing::TestWithParam<DescribedGpu> {
 protected:
  void SetUp() override {
    const auto target = ops::CudnnTarget::Described(PropertiesJson(GetParam()));
    if (absl::IsUnimplemented(target.status())) {
      GTEST_SKIP() << target.status().message() << " (--config=cuda)";
    }
    ASSERT_TRUE(target.ok()) << target.status();
    target_.push_back(*target);
  }
  const ops::CudnnTarget& target() const { return target_[0]; }

  std::vector<ops::CudnnTarget> target_;
};

TEST_P(CudnnEnginesTest, ThereIsOneForEveryConvolution) {
  struct Type {
    DataType dtype;
    bool may_round;
  };
  std::vector<Type> types = {{DataType::kFloat16, false},
                             {DataType::kFloat32, false}};
  if (GetParam().compute_capability >= 80) {
    types.push_back({DataType::kBFloat16, false});
    types.push_back({DataType::kFloat32, true});
  }
  for (const Type& type : types) {
    for (auto& [name, problem] : Convolutions(type.dtype)) {
      for (ConvolutionDirection direction :
           {ConvolutionDirection::kForward, ConvolutionDirection::kGradInput,
            ConvolutionDirection::kGradWeight}) {
        problem.may_round = type.may_round;
        const absl::Status status =
            Create(target(), Towards(direction, problem), 0, false);
        EXPECT_TRUE(status.ok()) << name << ": " << status;
      }
    }
  }
}

// Convolutions with the statistics of their results: on A100 and H100 for all
// whose images have a multiple of 8 channels. Whether the stem, whose images
// have three, has an engine depends on whether a driver is installed.
TEST_P(CudnnEnginesTest, SomeHaveStatisticsToo) {
  const int capability = GetParam().compute_capability;
  int found = 0, all = 0;
  for (const auto& [name, problem] : Convolutions(DataType::kFloat16)) {
    const absl::Status status = Create(target(), problem, 0, true);
    EXPECT_TRUE(status.ok() || absl::IsUnimplemented(status)) << status;
    if ((capability == 80 || capability == 90) && problem.x.shape[1] % 8 == 0) {
      EXPECT_TRUE(status.ok()) << name << ": " << status;
    }
    found += status.ok();
    ++all;
  }
  std::printf("%s: %d of %d\n", GetParam().name.c_str(), found, all);
}

INSTANTIATE_TEST_SUITE_P(Gpus, CudnnEnginesTest,
                         testing::ValuesIn(DescribedGpus()),
                         [](const auto& info) {
                           return absl::StrCat("sm_",
                                               info.param.compute_capability);
                         });

}  // namespace
}  // namespace facet
