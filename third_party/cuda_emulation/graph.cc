// Graphs: calls of EnqueueOn, kept to be made again.
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/machine.h"
#include "third_party/cuda_emulation/stream.h"

using cuda_emulation::Return;

struct CUgraphExec_st {
  std::vector<CUgraph_st::Node> nodes;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr) return Return(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return Return(cudaErrorIllegalState);
  stream->capture = new CUgraph_st;
  cuda_emulation::captured_stream = stream;
  return Return(cuda_emulation::State());
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) {
    return Return(cudaErrorInvalidValue);
  }
  CUgraph_st* captured = std::exchange(stream->capture, nullptr);
  cuda_emulation::captured_stream = nullptr;
  if (!captured->is_valid) {
    delete captured;
    return Return(cudaErrorStreamCaptureInvalidated);
  }
  *graph = captured;
  return Return(cuda_emulation::State());
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable,
                                          cudaGraph_t graph,
                                          unsigned long long) {
  if (graph == nullptr) return Return(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->nodes};
  return Return(cuda_emulation::State());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (executable == nullptr || stream == nullptr) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  for (const CUgraph_st::Node& node : executable->nodes) {
    const cudaError_t error = cuda_emulation::EnqueueOn(
        node.name, stream, node.device, node.accesses, node.work);
    if (error != cudaSuccess) return error;
  }
  return Return(cuda_emulation::State());
}
