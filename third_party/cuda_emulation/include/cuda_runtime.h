// The part of the CUDA runtime that Facet calls, on the host: the same names,
// the same meaning, other code behind them (../README.md). For tests.
//
// What is not here is not emulated: add it here and there when a caller needs
// it. Values of enumerators are CUDA's.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define CUDART_VERSION 13000

// ---- Device code ----------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// All threads of a block, and all blocks that are not at the same time, run on
// one thread of the host. The first write to it must come from the block: what
// it holds before is left from another one.
#define __shared__ static thread_local

struct uint3 {
  unsigned int x, y, z;
};

struct dim3 {
  unsigned int x, y, z;
  constexpr dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1)
      : x(x), y(y), z(z) {}
};

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

// The caller's place is compared: threads that meet at different barriers are
// an error here, and a hang or worse on a GPU.
void __syncthreads(int line = __builtin_LINE());
void __syncwarp(unsigned int mask = 0xffffffffu, int line = __builtin_LINE());

namespace cuda_emulation {
// Gives `bits` to the lanes in `mask`, all of which call this, and returns
// those of `source`.
uint64_t ExchangeInWarp(unsigned int mask, uint64_t bits, int source, int line);
uint32_t BallotInWarp(unsigned int mask, bool value, int line);

template <typename T>
T Shuffle(unsigned int mask, T value, int source, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = ExchangeInWarp(mask, bits, source, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline int Lane() {
  return static_cast<int>(
      (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) %
      warpSize);
}
}  // namespace cuda_emulation

template <typename T>
T __shfl_sync(unsigned int mask, T value, int source,
              int line = __builtin_LINE()) {
  return cuda_emulation::Shuffle(mask, value, source % warpSize, line);
}

template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int lane_mask,
                  int line = __builtin_LINE()) {
  return cuda_emulation::Shuffle(mask, value,
                                 cuda_emulation::Lane() ^ lane_mask, line);
}

// Lanes without a source keep their own value.
template <typename T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int delta,
                   int line = __builtin_LINE()) {
  const int source = cuda_emulation::Lane() + static_cast<int>(delta);
  return cuda_emulation::Shuffle(
      mask, value, source < warpSize ? source : cuda_emulation::Lane(), line);
}

template <typename T>
T __shfl_up_sync(unsigned int mask, T value, unsigned int delta,
                 int line = __builtin_LINE()) {
  const int source = cuda_emulation::Lane() - static_cast<int>(delta);
  return cuda_emulation::Shuffle(
      mask, value, source >= 0 ? source : cuda_emulation::Lane(), line);
}

inline unsigned int __ballot_sync(unsigned int mask, bool value,
                                  int line = __builtin_LINE()) {
  return cuda_emulation::BallotInWarp(mask, value, line);
}

inline int __popc(unsigned int bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

// ---- Host code ------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorECCUncorrectable = 214,
  cudaErrorNvlinkUncorrectable = 220,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorPeerAccessAlreadyEnabled = 704,
  cudaErrorAssert = 710,
  cudaErrorHardwareStackError = 714,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};

enum cudaDeviceAttr {
  cudaDevAttrClockRate = 13,             // kHz
  cudaDevAttrMemoryClockRate = 36,       // kHz
  cudaDevAttrGlobalMemoryBusWidth = 37,  // Bits.
};

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaHostFn_t = void (*)(void* data);

inline constexpr unsigned int cudaStreamNonBlocking = 1;
inline constexpr unsigned int cudaEventDefault = 0;
inline constexpr unsigned int cudaEventDisableTiming = 2;

enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major;
  int minor;
  int multiProcessorCount;
};

cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute,
                                   int device);
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags);

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** data, size_t size_bytes);
template <typename T>
cudaError_t cudaMalloc(T** data, size_t size_bytes) {
  return cudaMalloc(reinterpret_cast<void**>(data), size_bytes);
}
cudaError_t cudaFree(void* data);
cudaError_t cudaMallocHost(void** data, size_t size_bytes);
cudaError_t cudaFreeHost(void* data);

cudaError_t cudaMemcpy(void* to, const void* from, size_t size_bytes,
                       cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size_bytes,
                            cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* data, int value, size_t size_bytes,
                            cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream,
                                         unsigned int flags, int priority);
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                unsigned int flags = 0);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function,
                               void* data);

// Kernels, copies and library calls on one stream. Events and waits of the host
// spoil a capture, as does whatever would leave the stream.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream,
                                   cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable,
                                          cudaGraph_t graph,
                                          unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start,
                                 cudaEvent_t end);

cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorName(cudaError_t error);
// After a violation (emulation.h) this says what it was.
const char* cudaGetErrorString(cudaError_t error);

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_CUDA_RUNTIME_H_
