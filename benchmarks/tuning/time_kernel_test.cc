#include "benchmarks/tuning/time_kernel.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "runtime/device/cpu_device.h"

namespace facet::benchmarks {
namespace {

placement::KernelChoice Convolution(int64_t batch, int64_t stride,
                                    ops::DataType dtype) {
  auto whole = [&](ops::Shape shape, ops::Layout layout) {
    return ops::TensorSlice{dtype, layout, shape, shape, {0, 0, 0, 0}};
  };
  placement::KernelChoice choice;
  choice.device_kind = "cpu";
  choice.op = "conv2d";
  choice.spec.attributes = {{"stride", stride},
                            {"padding", int64_t{1}},
                            {"algorithm", std::string("auto")},
                            {"may_round", false}};
  for (const char* algorithm : {"direct", "winograd"}) {
    choice.alternatives.push_back(choice.spec.attributes);
    choice.alternatives.back().Set("algorithm", std::string(algorithm));
  }
  constexpr ops::Layout k8 = ops::Layout::kBlocked8;
  choice.spec.inputs = {whole({batch, 16, 8, 8}, k8),
                        whole({16, 16, 3, 3}, ops::Layout::kRowMajor)};
  choice.spec.outputs = {whole({batch, 16, 8 / stride, 8 / stride}, k8)};
  return choice;
}

std::vector<absl::StatusOr<double>> Time(
    const placement::KernelChoice& choice) {
  auto devices = runtime::CreateCpuDevices(1);
  CHECK(devices.ok()) << devices.status();
  return TimeKernel(choice, devices->front().get());
}

TEST(TimeKernel, EveryAlternativeOfEveryFloatingType) {
  for (const ops::DataType dtype :
       {ops::DataType::kFloat32, ops::DataType::kBFloat16}) {
    const auto seconds = Time(Convolution(2, 1, dtype));
    ASSERT_EQ(seconds.size(), 2u);
    for (const auto& s : seconds) {
      ASSERT_TRUE(s.ok()) << s.status();
      EXPECT_GT(*s, 0);
    }
  }
}

TEST(TimeKernel, WhatCannotRunIsUnimplemented) {
  // Winograd's algorithm has no stride.
  const auto seconds = Time(Convolution(2, 2, ops::DataType::kFloat32));
  EXPECT_TRUE(seconds[0].ok()) << seconds[0].status();
  EXPECT_TRUE(absl::IsUnimplemented(seconds[1].status()))
      << seconds[1].status();
}

TEST(TimeKernel, WithoutMemoryNothingIsMeasured) {
  // 4 TiB.
  for (const auto& s :
       Time(Convolution(int64_t{1} << 30, 1, ops::DataType::kFloat32))) {
    EXPECT_FALSE(s.ok());
    EXPECT_FALSE(absl::IsUnimplemented(s.status())) << s.status();
  }
}

}  // namespace
}  // namespace facet::benchmarks
