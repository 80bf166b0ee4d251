// Which engine is taken, of those that the emulated cuDNN offers; what it
// computes: conv2d_test.cc.
#include "ops/conv2d/cudnn_convolution.h"

#include <cuda_runtime.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/cuda/cuda_context.h"

namespace facet::ops {
namespace {

using Direction = ConvolutionDirection;

TensorSlice Slice(Shape shape) {
  TensorSlice slice;
  slice.layout = Layout::kChannelsLast;
  slice.shape = slice.global_shape = shape;
  slice.dtype = DataType::kFloat16;
  slice.offset = Shape{0, 0, 0, 0};
  return slice;
}

// 3x3, stride 1, padding 1.
ConvolutionProblem Problem(Direction direction, int64_t batch) {
  ConvolutionProblem problem;
  problem.direction = direction;
  problem.x = Slice({batch, 8, 6, 5});
  problem.w = Slice({16, 8, 3, 3});
  problem.y = Slice({batch, 16, 6, 5});
  problem.padding = 1;
  return problem;
}

class CudnnConvolutionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto cuda = CudaContext::Create(/*device=*/0, /*urgent=*/false);
    ASSERT_TRUE(cuda.ok()) << cuda.status();
    cuda_ = *std::move(cuda);
  }
  cudnnContext* cudnn() { return *cuda_->cudnn(); }
  absl::StatusOr<CudnnConvolution> Create(const ConvolutionProblem& problem,
                                          int64_t most_workspace_bytes,
                                          int engine = 0,
                                          bool statistics = false) {
    return CudnnConvolution::Create(CudnnTarget(cudnn()), problem,
                                    most_workspace_bytes, engine, statistics);
  }

 private:
  std::unique_ptr<CudaContext> cuda_;
};

TEST_F(CudnnConvolutionTest, TakesTheFastestThatFits) {
  const ConvolutionProblem problem = Problem(Direction::kForward, 2);
  EXPECT_EQ(Create(problem, 512)->workspace_bytes(), 512);
  EXPECT_EQ(Create(problem, 511)->workspace_bytes(), 0);
}

// The emulated one lists: one that is for another GPU, one with a workspace,
// one without, and the fallback.
TEST_F(CudnnConvolutionTest, TakesTheOneAskedForOrTheNext) {
  const ConvolutionProblem problem = Problem(Direction::kForward, 2);
  const std::vector<int> expected = {512, 512, 0, 0, 512, 512, 0};
  for (size_t engine = 0; engine < expected.size(); ++engine) {
    SCOPED_TRACE(engine);
    const auto convolution = Create(problem, 512, static_cast<int>(engine));
    ASSERT_TRUE(convolution.ok()) << convolution.status();
    EXPECT_EQ(convolution->workspace_bytes(), expected[engine]);
  }
}

// The fastest of the gradients does not.
TEST_F(CudnnConvolutionTest, TakesWhatRepeatsItsBits) {
  for (Direction direction : {Direction::kGradInput, Direction::kGradWeight}) {
    EXPECT_EQ(Create(Problem(direction, 2), 512)->workspace_bytes(), 0);
  }
}

// The fast engines round float32; who does not want that gets the fallback.
TEST_F(CudnnConvolutionTest, TakesWhatDoesNotRound) {
  ConvolutionProblem problem = Problem(Direction::kForward, 2);
  for (TensorSlice* slice : {&problem.x, &problem.w, &problem.y}) {
    slice->dtype = DataType::kFloat32;
  }
  EXPECT_EQ(Create(problem, 512)->workspace_bytes(), 0);
  problem.may_round = true;
  EXPECT_EQ(Create(problem, 512)->workspace_bytes(), 512);
}

// What a run is given counts, not what an earlier one was.
TEST_F(CudnnConvolutionTest, RunsWhereItIsTold) {
  const ConvolutionProblem problem = Problem(Direction::kForward, 2);
  auto allocate = [](int64_t size_bytes, int byte) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, size_bytes), cudaSuccess);
    const std::vector<char> bytes(size_bytes, static_cast<char>(byte));
    EXPECT_EQ(
        cudaMemcpy(data, bytes.data(), size_bytes, cudaMemcpyHostToDevice),
        cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);  // Streams do not wait.
    return data;
  };
  auto expect_zeros = [](const void* data, int64_t size_bytes) {
    std::vector<char> bytes(size_bytes);
    ASSERT_EQ(
        cudaMemcpy(bytes.data(), data, size_bytes, cudaMemcpyDeviceToHost),
        cudaSuccess);
    EXPECT_EQ(bytes, std::vector<char>(size_bytes, 0));
  };
  const int64_t y_bytes = problem.y.size_bytes();
  const auto sum_bytes =
      problem.y.shape[1] * static_cast<int64_t>(sizeof(float));
  for (const bool statistics : {false, true}) {
    auto convolution = Create(problem, 512, 0, statistics);
    ASSERT_TRUE(convolution.ok()) << convolution.status();
    CudnnConvolution::Operands operands;
    operands.x = allocate(problem.x.size_bytes(), 0);
    operands.w = allocate(problem.w.size_bytes(), 0);
    operands.y = allocate(y_bytes, 0x11);
    operands.workspace = allocate(512, 0x11);
    for (int run = 0; run < 2; ++run) {
      SCOPED_TRACE(run);
      // What was first stays allocated, so that the second lies elsewhere: y,
      // or the sums alone.
      if (!statistics) operands.y = allocate(y_bytes, 0x11);
      if (statistics) {
        operands.sum = allocate(sum_bytes, 0x11);
        operands.square_sum = allocate(sum_bytes, 0x11);
      }
      const absl::Status status = convolution->Run(cudnn(), operands);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      expect_zeros(operands.y, y_bytes);
      if (!statistics) continue;
      expect_zeros(operands.sum, sum_bytes);
      expect_zeros(operands.square_sum, sum_bytes);
    }
  }
}

TEST_F(CudnnConvolutionTest, HasStatisticsOfFloat16) {
  ConvolutionProblem problem = Problem(Direction::kForward, 2);
  EXPECT_EQ(Create(problem, 512, 0, true)->workspace_bytes(), 512);
  EXPECT_EQ(Create(problem, 512, 1, true)->workspace_bytes(), 512);
  // What it computes: ../conv2d_statistics.
  for (TensorSlice* slice : {&problem.x, &problem.w, &problem.y}) {
    slice->dtype = DataType::kBFloat16;
  }
  const absl::Status status = Create(problem, 512, 0, true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(),
            "the convolution with statistics of x [2, 8, 6, 5] with w "
            "[16, 8, 3, 3], stride 1, padding 1, bfloat16 nhwc: cuDNN 90000 "
            "has no engine that computes this with the same bits each time "
            "within 512 bytes of workspace");
}

TEST_F(CudnnConvolutionTest, OldVersionsKnowOnlyGpusThatAreHere) {
  const auto target = CudnnTarget::Described("{}");
  EXPECT_EQ(target.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(target.status().message(),
            "cuDNN 90000 makes plans only for GPUs that are here; 9.8 and "
            "later make them for others");
}

TEST_F(CudnnConvolutionTest, SaysWhatThereIsWhereNothingWillDo) {
  const absl::Status status =
      Create(Problem(Direction::kGradInput, 2), -1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(),
            "the gradient by x of the convolution of x [2, 8, 6, 5] with w "
            "[16, 8, 3, 3], stride 1, padding 1, float16 nhwc: cuDNN 90000 has "
            "no engine that computes this with the same bits each time within "
            "-1 bytes of workspace; bits that differ from run to run; "
            "CUDNN_STATUS_NOT_SUPPORTED; 0 bytes; 0 bytes");
}

TEST_F(CudnnConvolutionTest, RefusesMoreElementsThanCudnnCounts) {
  const absl::Status status =
      Create(Problem(Direction::kForward, int64_t{1} << 24), 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("has 4026531840 elements on one device; "
                                  "cuDNN takes at most 2147483647: use a "
                                  "smaller batch per device"),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace facet::ops
