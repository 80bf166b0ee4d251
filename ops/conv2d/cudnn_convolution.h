// A convolution, or one of its gradients, by cuDNN's graph API (all versions
// since 8). What surrounds it: cuda.cu.
#ifndef FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
#define FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/conv2d/cudnn_target.h"
#include "ops/conv2d/problem.h"

struct cudnnContext;  // CudaContext::cudnn(); cuDNN's header is large.

namespace facet::ops {

class CudnnConvolution {
 public:
  // Of the engines that cuDNN's heuristics list for it, the fastest first, and
  // that give the same bits each time and compute as asked for: takes number
  // `engine`, from 0, or the next one that is for this GPU and needs at most
  // `most_workspace_bytes`; after the last comes the first. For one version of
  // cuDNN on one kind of GPU always the same.
  //
  // With `statistics`, of a forward convolution: in the same pass the sums over
  // N, OH and OW of y's values, and of their squares, whether before or after y
  // is rounded. cuDNN 9.19 has engines for float16, channels-last, multiples of
  // 8 channels: on A100 and H100; on B200 one whose bits differ from run to run
  // (//tests/cudnn).
  //
  // x, w and y of the problem must have one floating type and one layout,
  // row-major or channels-last (of w: O KH KW C), and elements. Float32 is
  // multiplied as float32 or, if the problem says may_round and the heuristics
  // find it faster, as TF32; 16 bits by tensor cores, with sums in float32.
  // Unimplemented if no engine will do, with what there is.
  static absl::StatusOr<CudnnConvolution> Create(
      const CudnnTarget& target, const ConvolutionProblem& problem,
      int64_t most_workspace_bytes, int engine, bool statistics);
  ~CudnnConvolution();
  CudnnConvolution(CudnnConvolution&&) noexcept;

  // On the device.
  struct Operands {
    void* x = nullptr;
    void* w = nullptr;
    void* y = nullptr;
    // With statistics: float32, [O].
    void* sum = nullptr;
    void* square_sum = nullptr;
    void* workspace = nullptr;
  };
  // Enqueues it: reads two of x, w and y and writes the rest.
  absl::Status Run(cudnnContext* cudnn, const Operands& operands) const;

  // What Run uses.
  int64_t workspace_bytes() const;

 private:
  struct Graph;  // cuDNN's descriptors.
  explicit CudnnConvolution(std::unique_ptr<Graph> graph);

  std::unique_ptr<Graph> graph_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
