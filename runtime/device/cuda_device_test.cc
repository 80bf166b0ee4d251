// What a user is told when a GPU, its driver or its memory fails. On the
// emulation in any build: it fails on demand.
#include "runtime/device/cuda_device.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/cublas_error.h"
#include "ops/cuda/cuda_error.h"
#include "third_party/cuda_emulation/emulation.h"

namespace facet::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

class CudaDeviceTest : public testing::Test {
 protected:
  void TearDown() override {
    cuda_emulation::InjectError(cudaSuccess);
    cuda_emulation::SetDeviceCount(4);
    cuda_emulation::SetDriverVersion(13000);
    cuda_emulation::SetDeviceMemoryBytes(int64_t{16} << 30);
    unsetenv("CUDA_LAUNCH_BLOCKING");
    EXPECT_EQ(cuda_emulation::TakeViolation(), "");
  }
};

TEST_F(CudaDeviceTest, AnOldDriverIsNamedWithItsVersion) {
  cuda_emulation::SetDriverVersion(11040);
  for (const absl::Status& status :
       {CudaDevices().status(), CreateCudaDevices(1).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Text(status), AllOf(HasSubstr("driver is for CUDA 11.4"),
                                    HasSubstr("this program for 13.0"),
                                    HasSubstr("update the driver")));
  }
}

TEST_F(CudaDeviceTest, WithoutADriverThereAreNoDevices) {
  cuda_emulation::SetDriverVersion(0);
  const auto devices = CudaDevices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_THAT(*devices, IsEmpty());
}

TEST_F(CudaDeviceTest, MoreDevicesThanThereAre) {
  cuda_emulation::SetDeviceCount(2);
  EXPECT_TRUE(CreateCudaDevices(2).ok());
  const absl::Status status = CreateCudaDevices(3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Text(status), AllOf(HasSubstr("cannot use 3 CUDA devices"),
                                  HasSubstr("this machine has 2")));
  EXPECT_THAT(Text(CreateCudaDevices(2, 1).status()),
              HasSubstr("behind the first 1"));
  cuda_emulation::SetDeviceCount(0);
  EXPECT_THAT(Text(CreateCudaDevices(1).status()), HasSubstr("has none"));
}

// What the plan wants, beside what there is.
TEST_F(CudaDeviceTest, AnArenaThatIsTooLarge) {
  cuda_emulation::SetDeviceMemoryBytes(int64_t{4} << 30);
  auto devices = CreateCudaDevices(2);
  ASSERT_TRUE(devices.ok()) << devices.status();
  const auto held = (*devices)[1]->Allocate(int64_t{3} << 30);
  ASSERT_TRUE(held.ok()) << held.status();
  const absl::Status status =
      (*devices)[1]->Allocate(int64_t{5} << 29).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Text(status), AllOf(HasSubstr("cuda:1"), HasSubstr("2.50 GiB"),
                                  HasSubstr("1.00 of 4.00 GiB are free"),
                                  HasSubstr("--batch_size")));
}

// How a session finds out what became of a step.
absl::Status AskAfter(cudaError_t error) {
  auto devices = CreateCudaDevices(1);
  EXPECT_TRUE(devices.ok()) << devices.status();
  auto event = (*devices)[0]->CreateEvent(/*timed=*/false);
  EXPECT_TRUE(event.ok()) << event.status();
  cuda_emulation::InjectError(error);
  const absl::Status status = (*event)->HasPassed().status();
  cuda_emulation::InjectError(cudaSuccess);
  return status;
}

TEST_F(CudaDeviceTest, BrokenHardwareIsNoTasksFault) {
  const absl::Status status = AskAfter(cudaErrorECCUncorrectable);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(
      Text(status),
      AllOf(HasSubstr("cudaErrorECCUncorrectable"), HasSubstr("hardware"),
            HasSubstr("Xid"), HasSubstr("CUDA_VISIBLE_DEVICES"),
            HasSubstr("--resume"), Not(HasSubstr("CUDA_LAUNCH_BLOCKING"))));
}

TEST_F(CudaDeviceTest, AKernelsFaultIsFoundByLaunchingOneByOne) {
  EXPECT_THAT(Text(AskAfter(cudaErrorLaunchFailure)),
              AllOf(HasSubstr("cudaErrorLaunchFailure"),
                    HasSubstr("CUDA_LAUNCH_BLOCKING=1"), HasSubstr("Xid"),
                    Not(HasSubstr("hardware"))));
  setenv("CUDA_LAUNCH_BLOCKING", "1", /*overwrite=*/1);
  EXPECT_THAT(Text(AskAfter(cudaErrorLaunchFailure)),
              Not(HasSubstr("CUDA_LAUNCH_BLOCKING")));
}

TEST_F(CudaDeviceTest, CopiesNameTheDevice) {
  auto devices = CreateCudaDevices(2);
  ASSERT_TRUE(devices.ok()) << devices.status();
  Device& device = *(*devices)[1];
  const auto arena = device.Allocate(16);
  ASSERT_TRUE(arena.ok()) << arena.status();
  char bytes[16] = {};
  EXPECT_TRUE(device.CopyFromHost(bytes, (*arena)->data(), 16).ok());
  cuda_emulation::InjectError(cudaErrorECCUncorrectable);
  for (const absl::Status& status :
       {device.CopyFromHost(bytes, (*arena)->data(), 16),
        device.CopyToHost((*arena)->data(), bytes, 16), device.Synchronize(),
        device.Allocate(16).status()}) {
    EXPECT_THAT(Text(status), AllOf(HasSubstr("cuda:1: cuda"),
                                    HasSubstr("cudaErrorECCUncorrectable")));
  }
}

// Libraries only say that they failed.
TEST_F(CudaDeviceTest, AFailedLibraryIsAskedForTheDevicesError) {
  cuda_emulation::InjectError(cudaErrorECCUncorrectable);
  ASSERT_EQ(cudaSetDevice(0), cudaErrorECCUncorrectable);
  EXPECT_THAT(Text(ops::ToStatus(CUBLAS_STATUS_EXECUTION_FAILED,
                                 "cublasGemmEx(handle, m)")),
              AllOf(HasSubstr("cublasGemmEx: "),
                    HasSubstr("the device: cudaErrorECCUncorrectable"),
                    HasSubstr("Xid")));
  (void)cudaGetLastError();
}

// The caller's, which no kernel is to blame for.
TEST_F(CudaDeviceTest, AWrongCallHasNoAdvice) {
  EXPECT_EQ(Text(AskAfter(cudaErrorInvalidValue)),
            "cudaEventQuery: cudaErrorInvalidValue (cudaErrorInvalidValue)");
}

}  // namespace
}  // namespace facet::runtime
