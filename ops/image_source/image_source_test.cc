#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda_kernels.h"
#include "ops/data_source.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

constexpr int64_t kPixels = 3 * 112 * 112;

// The first pixel of image i of step s is 100 s + i, the others are 7, its
// label is i.
class CountingSource : public DataSource {
 public:
  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    for (int64_t i = begin; i < end; ++i) {
      float* image = images + (i - begin) * kPixels;
      std::fill(image, image + kPixels, 7.0f);
      image[0] = static_cast<float>(100 * step + i);
      labels[i - begin] = static_cast<int32_t>(i);
    }
    return step == 9 ? absl::DataLossError("torn file") : absl::OkStatus();
  }
};

// Images and labels of a device that has this range of 7 images.
std::vector<TensorSlice> Outputs(const Range& range) {
  return {{DataType::kFloat32,
           Layout::kRowMajor,
           {range.size(), 3, 112, 112},
           {7, 3, 112, 112},
           {range.begin, 0, 0, 0}},
          {DataType::kInt32,
           Layout::kRowMajor,
           {range.size()},
           {7},
           {range.begin}}};
}

class ImageSourceTest : public testing::TestWithParam<const KernelLibrary*> {
 protected:
  static absl::StatusOr<std::vector<HostValue>> Read(const Range& range,
                                                     int64_t step,
                                                     DataSource* source);
};

absl::StatusOr<std::vector<HostValue>> ImageSourceTest::Read(
    const Range& range, int64_t step, DataSource* source) {
  RunOptions options;
  options.step = step;
  options.data_source = source;
  return RunOp(*FindOp("image_source"), {{"batch_size", int64_t{7}}}, {},
               Outputs(range), options, *GetParam());
}

TEST_P(ImageSourceTest, EveryDeviceReadsItsRange) {
  CountingSource source;
  for (const Range& range : {Range{0, 7}, Range{0, 4}, Range{4, 7}}) {
    const absl::StatusOr<std::vector<HostValue>> outputs =
        Read(range, 2, &source);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    for (int64_t i = 0; i < range.size(); ++i) {
      const float* image = (*outputs)[0].as<float>() + i * kPixels;
      EXPECT_EQ(image[0], 200 + range.begin + i);
      EXPECT_EQ(image[kPixels - 1], 7);
      EXPECT_EQ((*outputs)[1].as<int32_t>()[i], range.begin + i);
    }
  }
}

TEST_P(ImageSourceTest, PassesOnWhatTheSourceSays) {
  CountingSource source;
  EXPECT_EQ(Read({0, 7}, 9, &source).status(),
            absl::DataLossError("torn file"));
}

TEST_P(ImageSourceTest, NeedsASource) {
  EXPECT_EQ(Read({0, 7}, 0, nullptr).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

std::vector<const KernelLibrary*> Libraries() {
  std::vector<const KernelLibrary*> libraries = {&CpuKernels()};
  if (CudaUnavailable().empty()) libraries.push_back(&CudaKernelsOnHost());
  return libraries;
}

INSTANTIATE_TEST_SUITE_P(Kernels, ImageSourceTest,
                         testing::ValuesIn(Libraries()), [](const auto& info) {
                           return std::string(info.param->device_kind);
                         });

// The next batch is read into the same memory of the host.
TEST(ImageSourceCudaTest, TheCopiesAreOverWhenTheKernelReturns) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  const auto cuda = CudaContext::Create(/*device=*/0, /*urgent=*/false);
  ASSERT_TRUE(cuda.ok()) << cuda.status();
  const cudaStream_t stream = (*cuda)->stream();
  KernelSpec spec;
  spec.outputs = Outputs({0, 1});
  spec.cuda = cuda->get();
  const absl::StatusOr<Kernel> kernel =
      CudaKernels().find("image_source")->create(spec);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  std::vector<TensorView> outputs;
  for (const TensorSlice& slice : spec.outputs) {
    outputs.push_back({slice});
    ASSERT_EQ(cudaMalloc(&outputs.back().data, slice.size_bytes()),
              cudaSuccess);
  }
  CountingSource source;
  KernelContext context;
  context.outputs = outputs;
  context.data_source = &source;
  context.cuda = cuda->get();
  auto sleep = [](void*) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  };
  ASSERT_EQ(cudaLaunchHostFunc(stream, sleep, nullptr), cudaSuccess);
  EXPECT_EQ((*kernel)(context), absl::OkStatus());
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  for (const TensorView& view : outputs) (void)cudaFree(view.data);
}

TEST(ImageSourceDefTest, Types) {
  Graph graph;
  GraphBuilder builder(&graph, FindOp);
  const absl::StatusOr<std::vector<TensorId>> outputs =
      builder.Add("image_source", "data", {}, {{"batch_size", int64_t{16}}});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ(builder.type((*outputs)[0]).ToString(), "float32[16, 3, 112, 112]");
  EXPECT_EQ(builder.type((*outputs)[1]).ToString(), "int32[16]");
  EXPECT_THAT(
      std::string(
          builder.Add("image_source", "data", {}, {{"batch_size", int64_t{0}}})
              .status()
              .message()),
      ::testing::HasSubstr("\"batch_size\" is 0"));
}

}  // namespace
}  // namespace facet::ops
