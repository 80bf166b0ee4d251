// What the emulation must do as a GPU does, and what it must find that a GPU
// would not tell.
#include "third_party/cuda_emulation/emulation.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <nccl.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cuda_emulation {
namespace {

using testing::HasSubstr;

// Device memory of ints.
class Buffer {
 public:
  explicit Buffer(int count) : count_(count) {
    EXPECT_EQ(cudaMalloc(&data_, bytes()), cudaSuccess);
  }
  ~Buffer() { cudaFree(data_); }

  int* data() const { return data_; }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(int)); }
  Access reads() const { return {data_, bytes(), false}; }
  Access writes() const { return {data_, bytes(), true}; }
  std::vector<int> Read() const {
    std::vector<int> values(count_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  int* data_ = nullptr;
  int count_;
};

// What kernels do with a buffer.
void Put(const Buffer& buffer, int i, int value) {
  Storage(buffer.data())[i] = value;
  MarkWritten(buffer.data() + i, sizeof(int));
}

class EmulationTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    stream_ = NewStream();
    other_ = NewStream();
  }
  void TearDown() override {
    cudaStreamDestroy(stream_);
    cudaStreamDestroy(other_);
    EXPECT_EQ(TakeViolation(), "");
  }

  static cudaStream_t NewStream() {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
              cudaSuccess);
    return stream;
  }
  // Runs body once per thread, and returns the violation.
  std::string Run(dim3 grid, dim3 block, const std::vector<Access>& accesses,
                  std::function<void()> body) {
    EXPECT_EQ(LaunchKernel(grid, block, 0, stream_, accesses, std::move(body)),
              cudaSuccess);
    cudaStreamSynchronize(stream_);
    return TakeViolation();
  }

  cudaStream_t stream_ = nullptr;
  cudaStream_t other_ = nullptr;
};

#ifdef __SANITIZE_ADDRESS__
// The frame of a kernel stays guarded when its threads switch.
TEST_F(EmulationTest, AddressSanitizerSeesKernels) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto kernel = [](int size) {
    return [size] {
      char local[32];
      void* volatile bytes = local;
      __syncthreads();
      std::memset(bytes, 1, size);
      __syncthreads();
    };
  };
  EXPECT_EQ(Run(dim3(2), dim3(256), {}, kernel(32)), "");
  EXPECT_DEATH(Run(dim3(1), dim3(32), {}, kernel(33)), "stack-buffer-overflow");
}
#endif

TEST_F(EmulationTest, EveryThreadRunsOnce) {
  std::vector<int> count(2 * 3 * 4 * 5 * 2);
  EXPECT_EQ(Run(dim3(2, 3), dim3(4, 5, 2), {},
                [&] {
                  const unsigned int block =
                      blockIdx.y * gridDim.x + blockIdx.x;
                  const unsigned int thread =
                      (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x +
                      threadIdx.x;
                  ++count[block * 40 + thread];
                }),
            "");
  EXPECT_THAT(count, testing::Each(1));
}

TEST_F(EmulationTest, NobodyPassesABarrierBeforeAllHaveCome) {
  constexpr int kThreads = 100;
  int arrived[3] = {};
  EXPECT_EQ(Run(dim3(3), dim3(kThreads), {},
                [&] {
                  for (int round = 0; round < 3; ++round) {
                    ++arrived[round];
                    __syncthreads();
                    EXPECT_EQ(arrived[round] % kThreads, 0);
                  }
                }),
            "");
}

TEST_F(EmulationTest, ThreadsThatEndedAreNotWaitedFor) {
  int after = 0;
  EXPECT_EQ(Run(dim3(1), dim3(64), {},
                [&] {
                  if (threadIdx.x >= 40) return;
                  __syncthreads();
                  ++after;
                }),
            "");
  EXPECT_EQ(after, 40);
}

TEST_F(EmulationTest, SharedMemoryIsTheBlocks) {
  std::vector<int> sums(4);
  EXPECT_EQ(Run(dim3(4), dim3(96), {},
                [&] {
                  __shared__ int values[96];
                  values[threadIdx.x] =
                      static_cast<int>(threadIdx.x * blockIdx.x);
                  __syncthreads();
                  if (threadIdx.x != 0) return;
                  for (int value : values) sums[blockIdx.x] += value;
                }),
            "");
  for (int b = 0; b < 4; ++b) EXPECT_EQ(sums[b], b * 95 * 96 / 2);
}

TEST_F(EmulationTest, ShufflesMoveValuesBetweenLanes) {
  int wrong = 0;
  EXPECT_EQ(Run(dim3(2), dim3(64), {},
                [&] {
                  const int lane = static_cast<int>(threadIdx.x % 32);
                  const double own = threadIdx.x + 0.5;
                  const double base = threadIdx.x - lane + 0.5;
                  wrong += __shfl_xor_sync(~0u, own, 5) != base + (lane ^ 5);
                  wrong += __shfl_sync(~0u, own, 7) != base + 7;
                  wrong += __shfl_down_sync(~0u, own, 3) !=
                           base + (lane + 3 < 32 ? lane + 3 : lane);
                  wrong += __shfl_up_sync(~0u, own, 4) !=
                           base + (lane >= 4 ? lane - 4 : lane);
                  wrong += __ballot_sync(~0u, lane % 3 == 0) != 0x49249249u;
                }),
            "");
  EXPECT_EQ(wrong, 0);
}

// Without the barrier of SharedMemoryIsTheBlocks.
TEST_F(EmulationTest, AMissingBarrierShows) {
  int wrong = 0;
  EXPECT_EQ(Run(dim3(2), dim3(64), {},
                [&] {
                  __shared__ int values[64];
                  values[threadIdx.x] =
                      static_cast<int>(threadIdx.x + 64 * blockIdx.x);
                  const unsigned int next = (threadIdx.x + 1) % 64;
                  wrong +=
                      values[next] != static_cast<int>(next + 64 * blockIdx.x);
                }),
            "");
  EXPECT_GT(wrong, 0);
}

TEST_F(EmulationTest, FindsBarriersThatNotAllReach) {
  // Not within EXPECT_THAT: what a macro expands to is all on one line.
  const std::string two_barriers = Run(dim3(1), dim3(64), {}, [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  });
  EXPECT_THAT(two_barriers, HasSubstr("waits at the barrier of line"));
  // A warp's barrier and the block's: neither is complete.
  EXPECT_THAT(Run(dim3(1), dim3(32), {},
                  [] {
                    if (threadIdx.x < 16) {
                      __syncthreads();
                    } else {
                      __syncwarp();
                    }
                  }),
              HasSubstr("32 of 32 threads wait for ever"));
  // And the next kernel runs.
  int count = 0;
  EXPECT_EQ(Run(dim3(1), dim3(32), {}, [&] { ++count; }), "");
  EXPECT_EQ(count, 32);
}

TEST_F(EmulationTest, FindsShufflesFromLanesThatTakeNoPart) {
  EXPECT_THAT(Run(dim3(1), dim3(32), {},
                  [] {
                    if (threadIdx.x >= 16) return;
                    __shfl_xor_sync(0xffffu, 1, 16);
                  }),
              HasSubstr("reads lane 16"));
}

TEST_F(EmulationTest, RefusesGridsThatAreTooLarge) {
  auto nothing = [] {};
  EXPECT_EQ(LaunchKernel(dim3(1), dim3(1025), 0, stream_, {}, nothing),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(LaunchKernel(dim3(0), dim3(32), 0, stream_, {}, nothing),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(LaunchKernel(dim3(1, 65536), dim3(32), 0, stream_, {}, nothing),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(
      LaunchKernel(dim3(1), dim3(32), 48 * 1024 + 1, stream_, {}, nothing),
      cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(EmulationTest, HostCodeCannotTouchDeviceMemory) {
  Buffer buffer(4);
  EXPECT_DEATH(*const_cast<volatile int*>(buffer.data()) = 1, "");
}

TEST_F(EmulationTest, StreamsKeepTheirOrderAndAreAsynchronous) {
  Buffer buffer(1);
  std::atomic<bool> may_start{false};
  ASSERT_EQ(Enqueue("wait", stream_, {buffer.writes()},
                    [&] {
                      while (!may_start.load()) {
                      }
                      Put(buffer, 0, 1);
                    }),
            cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
  int seen = 0;
  ASSERT_EQ(Enqueue("look", stream_, {buffer.reads()},
                    [&] { seen = *Storage(buffer.data()); }),
            cudaSuccess);
  may_start.store(true);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
  EXPECT_EQ(seen, 1);
}

TEST_F(EmulationTest, CopiesGoThereAndBack) {
  Buffer buffer(3);
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(reinterpret_cast<void**>(&pinned), 12), cudaSuccess);
  const int values[3] = {5, 6, 7};
  std::memcpy(pinned, values, 12);
  ASSERT_EQ(cudaMemcpyAsync(buffer.data(), pinned, 12, cudaMemcpyHostToDevice,
                            stream_),
            cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(buffer.data() + 1, 0, 4, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(buffer.Read(), (std::vector<int>{5, 0, 7}));
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(EmulationTest, FindsReadsOfWhatNobodyWrote) {
  Buffer buffer(3);
  ASSERT_EQ(cudaMemsetAsync(buffer.data(), 0, 8, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_TRUE(IsWritten(buffer.data(), 8));
  EXPECT_FALSE(IsWritten(buffer.data() + 1, 8));
  int values[3];
  EXPECT_EQ(cudaMemcpy(values, buffer.data(), 12, cudaMemcpyDeviceToHost),
            cudaErrorIllegalAddress);
  EXPECT_THAT(std::string(cudaGetErrorString(cudaErrorIllegalAddress)),
              HasSubstr("nobody wrote: byte 8 of 12"));
  EXPECT_THAT(TakeViolation(), HasSubstr("nobody wrote"));
}

TEST_F(EmulationTest, AViolationNamesTheThreadAndFailsWhatFollows) {
  ASSERT_EQ(LaunchKernel(dim3(2), dim3(8), 0, stream_, {},
                         [] {
                           if (blockIdx.x == 1 && threadIdx.x == 5) {
                             Violation("stumbles");
                           }
                         }),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaMemsetAsync(nullptr, 0, 0, stream_), cudaErrorIllegalAddress);
  EXPECT_EQ(TakeViolation(), "block (1, 0, 0), thread (5, 0, 0): stumbles");
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
}

TEST_F(EmulationTest, FindsUsesOfMemoryThatIsNotAllocated) {
  int* freed = nullptr;
  ASSERT_EQ(cudaMalloc(&freed, 64), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  EXPECT_EQ(cudaFree(freed), cudaErrorInvalidValue);
  EXPECT_THAT(Run(dim3(1), dim3(1), {{freed, 64, false}}, [] {}),
              HasSubstr("not, or no more, allocated"));
  Buffer buffer(4);
  EXPECT_THAT(Run(dim3(1), dim3(1), {{buffer.data(), 20, false}}, [] {}),
              HasSubstr("reads 20 bytes of device memory that is not"));
  int on_host = 0;
  EXPECT_THAT(Run(dim3(1), dim3(1), {{&on_host, 4, true}}, [] {}),
              HasSubstr("host memory that is not pinned"));
}

TEST_F(EmulationTest, FindsKernelsOnMemoryOfAnotherDevice) {
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  Buffer elsewhere(4);
  EXPECT_EQ(LaunchKernel(dim3(1), dim3(1), 0, stream_, {}, [] {}),
            cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_THAT(Run(dim3(1), dim3(1), {elsewhere.writes()}, [] {}),
              HasSubstr("of device 1 on device 0"));
}

// Two streams on one buffer: a conflict whatever the timing, unless an event,
// or the host, is between them.
class OrderTest : public EmulationTest {
 protected:
  OrderTest() : buffer_(4) {}

  cudaError_t Use(cudaStream_t stream, bool writes) {
    return Enqueue("work", stream, {{buffer_.data(), 16, writes}}, [] {});
  }

  Buffer buffer_;
};

TEST_F(OrderTest, FindsMissingWaits) {
  for (bool first : {false, true}) {
    for (bool second : {false, true}) {
      Buffer buffer(4);
      auto use = [&](cudaStream_t stream, bool writes) {
        return Enqueue("work", stream, {{buffer.data(), 16, writes}}, [] {});
      };
      ASSERT_EQ(use(stream_, first), cudaSuccess);
      // Both have run; that does not make it right.
      while (cudaStreamQuery(stream_) == cudaErrorNotReady) {
      }
      if (first || second) {
        EXPECT_EQ(use(other_, second), cudaErrorIllegalAddress);
        EXPECT_THAT(TakeViolation(), HasSubstr("without having waited"));
      } else {
        EXPECT_EQ(use(other_, second), cudaSuccess);
      }
    }
  }
}

TEST_F(OrderTest, EventsOrderStreams) {
  cudaEvent_t event;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
            cudaSuccess);
  ASSERT_EQ(Use(stream_, true), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  // Later than the event: the wait does not cover it.
  ASSERT_EQ(Enqueue("later", stream_, {{buffer_.data(), 4, true}}, [] {}),
            cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other_, event), cudaSuccess);
  EXPECT_EQ(Enqueue("work", other_, {{buffer_.data() + 1, 12, true}}, [] {}),
            cudaSuccess);
  EXPECT_EQ(Enqueue("work", other_, {{buffer_.data(), 4, false}}, [] {}),
            cudaErrorIllegalAddress);
  EXPECT_THAT(TakeViolation(), HasSubstr("reads what later on stream"));
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(OrderTest, OrderIsTransitive) {
  cudaStream_t third = NewStream();
  cudaEvent_t events[2];
  for (cudaEvent_t& event : events) {
    ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
              cudaSuccess);
  }
  ASSERT_EQ(Use(stream_, true), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(events[0], stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other_, events[0]), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(events[1], other_), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(third, events[1]), cudaSuccess);
  EXPECT_EQ(Use(third, true), cudaSuccess);
  for (cudaEvent_t event : events)
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(third), cudaSuccess);
}

TEST_F(OrderTest, WaitingOnTheHostOrders) {
  ASSERT_EQ(Use(stream_, true), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Use(other_, true), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(Use(stream_, true), cudaSuccess);
}

TEST_F(OrderTest, CopiesOfTheHostWaitForNoStream) {
  ASSERT_EQ(cudaMemsetAsync(buffer_.data(), 0, 16, stream_), cudaSuccess);
  int values[4];
  EXPECT_EQ(cudaMemcpy(values, buffer_.data(), 16, cudaMemcpyDeviceToHost),
            cudaErrorIllegalAddress);
  EXPECT_THAT(TakeViolation(), HasSubstr("cudaMemcpy on stream 0 reads what "
                                         "cudaMemsetAsync"));
}

TEST_F(OrderTest, CopiesOfPageableMemoryMayArriveLater) {
  int values[4] = {};
  auto copy = [&](const void* from) {
    return cudaMemcpy(buffer_.data(), from, 16, cudaMemcpyHostToDevice);
  };
  ASSERT_EQ(copy(values), cudaSuccess);
  EXPECT_EQ(Use(stream_, false), cudaErrorIllegalAddress);
  EXPECT_THAT(TakeViolation(), HasSubstr("reads what cudaMemcpy on stream 0"));
  // They keep their order among each other.
  EXPECT_EQ(copy(values), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(values, buffer_.data(), 16, cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(Use(stream_, false), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  // Who waits for the default stream waits for them, and who has pinned memory
  // need not.
  ASSERT_EQ(copy(values), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(Use(stream_, false), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  void* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
  ASSERT_EQ(copy(pinned), cudaSuccess);
  EXPECT_EQ(Use(stream_, false), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(EmulationTest, ProductsSpoilTheirWorkspace) {
  const Buffer matrices(3), workspace(1 << 20);
  for (const Buffer* buffer : {&matrices, &workspace}) {
    ASSERT_EQ(cudaMemsetAsync(buffer->data(), 0, buffer->bytes(), stream_),
              cudaSuccess);
  }
  cublasHandle_t cublas = nullptr;
  ASSERT_EQ(cublasCreate(&cublas), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetStream(cublas, stream_), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetWorkspace(cublas, workspace.data(), workspace.bytes()),
            CUBLAS_STATUS_SUCCESS);
  const float one = 1, zero = 0;
  int* const data = matrices.data();
  ASSERT_EQ(
      cublasGemmEx(cublas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, data,
                   CUDA_R_32F, 1, data + 1, CUDA_R_32F, 1, &zero, data + 2,
                   CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(workspace.Read().front(), -1);
  EXPECT_EQ(workspace.Read().back(), -1);
  EXPECT_EQ(cublasDestroy(cublas), CUBLAS_STATUS_SUCCESS);
}

// 256 bytes, unless the preference says that they have less.
TEST_F(EmulationTest, CublasLtCountsOnAlignedOperands) {
  const Buffer matrices(64 * 3), workspace(256);
  ASSERT_EQ(cudaMemsetAsync(matrices.data(), 0, matrices.bytes(), stream_),
            cudaSuccess);
  cublasHandle_t cublas = nullptr;
  ASSERT_EQ(cublasCreate(&cublas), CUBLAS_STATUS_SUCCESS);
  const auto lt = reinterpret_cast<cublasLtHandle_t>(cublas);
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t one = nullptr;
  ASSERT_EQ(
      cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
      CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasLtMatrixLayoutCreate(&one, CUDA_R_32F, 1, 1, 1),
            CUBLAS_STATUS_SUCCESS);
  for (const uint32_t alignment : {256, 64}) {
    cublasLtMatmulPreference_t preference = nullptr;
    ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference),
              CUBLAS_STATUS_SUCCESS);
    if (alignment != 256) {
      for (const auto attribute :
           {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
        ASSERT_EQ(cublasLtMatmulPreferenceSetAttribute(
                      preference, attribute, &alignment, sizeof(alignment)),
                  CUBLAS_STATUS_SUCCESS);
      }
    }
    cublasLtMatmulHeuristicResult_t results[8];
    int count = 0;
    ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(lt, operation, one, one, one, one,
                                             preference, 8, results, &count),
              CUBLAS_STATUS_SUCCESS);
    // No workspace was allowed.
    ASSERT_EQ(count, 1);
    EXPECT_EQ(results[0].workspaceSize, 0u);
    const float scale = 1, keep = 0;
    int* const data = matrices.data();
    EXPECT_EQ(
        cublasLtMatmul(lt, operation, &scale, data, one, data + 16, one, &keep,
                       data + 32, one, data + 32, one, &results[0].algo,
                       workspace.data(), 0, stream_),
        alignment == 256 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulPreferenceDestroy(preference),
              CUBLAS_STATUS_SUCCESS);
  }
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(cublasLtMatrixLayoutDestroy(one), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatmulDescDestroy(operation), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDestroy(cublas), CUBLAS_STATUS_SUCCESS);
}

TEST_F(EmulationTest, Tf32HasElevenBits) {
  const Buffer matrices(3);
  cublasHandle_t cublas = nullptr;
  ASSERT_EQ(cublasCreate(&cublas), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetStream(cublas, stream_), CUBLAS_STATUS_SUCCESS);
  const float factors[] = {1 + 0x1p-12f, 3 - 0x1p-9f, 0};
  const float one = 1, zero = 0;
  int* const data = matrices.data();
  for (const auto& [compute, expected] :
       {std::pair(CUBLAS_COMPUTE_32F, factors[0] * factors[1]),
        std::pair(CUBLAS_COMPUTE_32F_FAST_TF32, factors[1])}) {
    ASSERT_EQ(cudaMemcpy(data, factors, 12, cudaMemcpyHostToDevice),
              cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    ASSERT_EQ(
        cublasGemmEx(cublas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, data,
                     CUDA_R_32F, 1, data + 1, CUDA_R_32F, 1, &zero, data + 2,
                     CUDA_R_32F, 1, compute, CUBLAS_GEMM_DEFAULT),
        CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    float product = 0;
    ASSERT_EQ(cudaMemcpy(&product, data + 2, 4, cudaMemcpyDeviceToHost),
              cudaSuccess);
    EXPECT_EQ(product, expected);
  }
  EXPECT_EQ(cublasDestroy(cublas), CUBLAS_STATUS_SUCCESS);
}

class Graph {
 public:
  // What `record` puts into the stream.
  Graph(cudaStream_t stream, const std::function<void()>& record) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
              cudaSuccess);
    record();
    cudaGraph_t graph = nullptr;
    ended_ = cudaStreamEndCapture(stream, &graph);
    if (ended_ != cudaSuccess) return;
    EXPECT_EQ(cudaGraphInstantiateWithFlags(&graph_, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  ~Graph() { cudaGraphExecDestroy(graph_); }

  cudaError_t ended() const { return ended_; }
  cudaError_t Launch(cudaStream_t stream) const {
    return cudaGraphLaunch(graph_, stream);
  }

 private:
  cudaError_t ended_ = cudaSuccess;
  cudaGraphExec_t graph_ = nullptr;
};

TEST_F(EmulationTest, AGraphDoesItsWorkWhenItIsLaunched) {
  const Buffer buffer(1);
  ASSERT_EQ(cudaMemsetAsync(buffer.data(), 0, buffer.bytes(), stream_),
            cudaSuccess);
  const Graph graph(stream_, [&] {
    for (int addend : {1, 10}) {
      EXPECT_EQ(LaunchKernel(1, 1, 0, stream_, {buffer.writes()},
                             [&buffer, addend] {
                               Put(buffer, 0, *Storage(buffer.data()) + addend);
                             }),
                cudaSuccess);
    }
  });
  ASSERT_EQ(graph.ended(), cudaSuccess);
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(buffer.Read(), std::vector<int>{0});
  EXPECT_EQ(graph.Launch(stream_), cudaSuccess);
  EXPECT_EQ(graph.Launch(stream_), cudaSuccess);
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(buffer.Read(), std::vector<int>{22});
}

TEST_F(EmulationTest, AGraphDoesNotWaitForOtherStreams) {
  const Buffer buffer(1);
  const Graph graph(stream_, [&] {
    EXPECT_EQ(cudaMemsetAsync(buffer.data(), 0, buffer.bytes(), stream_),
              cudaSuccess);
  });
  ASSERT_EQ(cudaMemsetAsync(buffer.data(), 0, buffer.bytes(), other_),
            cudaSuccess);
  EXPECT_EQ(graph.Launch(stream_), cudaErrorIllegalAddress);
  EXPECT_THAT(TakeViolation(), HasSubstr("cudaMemsetAsync"));
}

TEST_F(EmulationTest, EventsAndWaitsSpoilACapture) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
            cudaSuccess);
  const std::function<cudaError_t()> spoilers[] = {
      [&] { return cudaEventRecord(event, stream_); },
      [&] { return cudaStreamWaitEvent(stream_, event); },
      [&] { return cudaStreamSynchronize(stream_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] {
        int* data = nullptr;
        return cudaMalloc(&data, 4);
      }};
  for (const auto& spoiler : spoilers) {
    const Graph graph(stream_, [&] {
      EXPECT_EQ(spoiler(), cudaErrorStreamCaptureUnsupported);
    });
    EXPECT_EQ(graph.ended(), cudaErrorStreamCaptureInvalidated);
  }
  cudaEventDestroy(event);
  EXPECT_EQ(cudaEventRecord(nullptr, stream_), cudaErrorInvalidResourceHandle);
}

// Rank 0 comes when rank 1 has left, with another count: they do not meet.
TEST_F(EmulationTest, WhoComesToAnAbortedCollectiveMeetsNobody) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  ncclComm_t comms[2];
  ASSERT_EQ(ncclCommInitRank(&comms[0], 2, id, 0), ncclSuccess);
  ASSERT_EQ(ncclCommInitRank(&comms[1], 2, id, 1), ncclSuccess);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  const cudaStream_t second = NewStream();
  const Buffer few(2), gathered_few(4);
  ASSERT_EQ(ncclAllGather(few.data(), gathered_few.data(), 2, ncclInt32,
                          comms[1], second),
            ncclSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  const Buffer many(4), gathered_many(8);
  std::atomic<bool> may_come{false};
  auto wait = [](void* flag) {
    while (!static_cast<std::atomic<bool>*>(flag)->load()) {
      std::this_thread::yield();
    }
  };
  ASSERT_EQ(cudaLaunchHostFunc(stream_, wait, &may_come), cudaSuccess);
  ASSERT_EQ(ncclAllGather(many.data(), gathered_many.data(), 4, ncclInt32,
                          comms[0], stream_),
            ncclSuccess);
  for (ncclComm_t comm : comms) ASSERT_EQ(ncclCommAbort(comm), ncclSuccess);
  EXPECT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  may_come = true;
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  cudaStreamDestroy(second);
}

TEST_F(EmulationTest, MemoryIsLimited) {
  SetDeviceMemoryBytes(1000);
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_EQ(cudaMalloc(&first, 600), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 401), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  size_t free_bytes = 0, total_bytes = 0;
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(free_bytes, 400u);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  SetDeviceMemoryBytes(int64_t{16} << 30);
}

TEST_F(EmulationTest, MachinesWithoutDevicesOrWithOldDrivers) {
  int count = -1;
  SetDeviceCount(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  SetDeviceCount(4);
  SetDriverVersion(11040);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  SetDriverVersion(13000);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 4);
}

}  // namespace
}  // namespace cuda_emulation
