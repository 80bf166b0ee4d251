// Kernels are timed on CUDA devices, too; emulated where there is none.
#include <vector>

#include "benchmarks/tuning/time_kernel.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "runtime/device/cuda_device.h"

namespace facet::benchmarks {
namespace {

ops::TensorSlice Whole(const ops::Shape& shape, ops::Layout layout) {
  return {ops::DataType::kFloat16, layout, shape, shape, {0, 0, 0, 0}};
}

// A convolution's gradient by x, with all that the device would choose from.
placement::KernelChoice GradInput(const runtime::Device& device,
                                  int64_t batch) {
  const ops::TensorSlice images =
      Whole({batch, 8, 6, 6}, ops::Layout::kChannelsLast);
  placement::KernelChoice choice;
  choice.device_kind = "cuda";
  choice.op = "conv2d_grad_input";
  choice.spec.attributes = {{"stride", int64_t{1}},
                            {"padding", int64_t{1}},
                            {"height", int64_t{6}},
                            {"width", int64_t{6}},
                            {"algorithm", std::string("auto")},
                            {"may_round", false}};
  choice.spec.inputs = {images, Whole({8, 8, 3, 3}, ops::Layout::kRowMajor)};
  choice.spec.outputs = {images};
  const ops::KernelDef* def = device.kernels().find(choice.op);
  CHECK(def != nullptr);
  choice.alternatives = def->alternatives(choice.spec);
  return choice;
}

class TimeKernelCudaTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto gpus = runtime::CudaDevices();
    ASSERT_TRUE(gpus.ok()) << gpus.status();
    if (gpus->empty()) GTEST_SKIP() << "this machine has no CUDA device";
    auto devices = runtime::CreateCudaDevices(1);
    ASSERT_TRUE(devices.ok()) << devices.status();
    device_ = std::move(devices->front());
    ASSERT_TRUE(device_->EnterStream(ops::StreamKind::kCompute).ok());
  }

  std::unique_ptr<runtime::Device> device_;
};

TEST_F(TimeKernelCudaTest, EveryAlternative) {
  const placement::KernelChoice choice = GradInput(*device_, 2);
  ASSERT_GE(choice.alternatives.size(), 2u);
  EXPECT_NE(choice.alternatives[0], choice.alternatives[1]);
  const auto seconds = TimeKernel(choice, device_.get());
  ASSERT_EQ(seconds.size(), choice.alternatives.size());
  for (const auto& s : seconds) {
    ASSERT_TRUE(s.ok()) << s.status();
    EXPECT_GT(*s, 0);
  }
}

TEST_F(TimeKernelCudaTest, WhatCannotRunIsUnimplemented) {
  // More elements than cuDNN counts.
  for (const auto& s :
       TimeKernel(GradInput(*device_, 1 << 24), device_.get())) {
    EXPECT_TRUE(absl::IsUnimplemented(s.status())) << s.status();
  }
}

}  // namespace
}  // namespace facet::benchmarks
