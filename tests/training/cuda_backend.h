// CUDA devices for whole-step tests, emulated where there is none.
#ifndef FACET_TESTS_TRAINING_CUDA_BACKEND_H_
#define FACET_TESTS_TRAINING_CUDA_BACKEND_H_

#include "gtest/gtest.h"
#include "ops/cuda_kernels.h"
#include "runtime/device/cuda_device.h"
#include "tests/training/small_training.h"

namespace facet::tests {

inline Backend CudaBackend() {
  return {"cuda", &ops::CudaKernels(),
          [](int count) { return runtime::CreateCudaDevices(count); }};
}

// In a test, or its SetUp.
#define FACET_SKIP_WITHOUT_CUDA_DEVICES(count)                     \
  do {                                                             \
    const auto facet_devices = runtime::CudaDevices();             \
    ASSERT_TRUE(facet_devices.ok()) << facet_devices.status();     \
    if (static_cast<int>(facet_devices->size()) < (count)) {       \
      GTEST_SKIP() << "this machine has " << facet_devices->size() \
                   << " CUDA devices, the case needs " << (count); \
    }                                                              \
  } while (false)

}  // namespace facet::tests

#endif  // FACET_TESTS_TRAINING_CUDA_BACKEND_H_
