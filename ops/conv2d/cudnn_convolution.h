// A convolution, or one of its gradients, by cuDNN's graph API (all versions
// since 8). What surrounds it: cuda.cu.
#ifndef FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
#define FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
  // x, w and y of the problem must have one floating type and one layout,
  // row-major or channels-last (of w: O KH KW C), and elements. Float32 is
  // multiplied as float32 or, if the problem says may_round and the heuristics
  // find it faster, as TF32; 16 bits by tensor cores, with sums in float32.
  // Unimplemented if no engine will do, with what there is.
  static absl::StatusOr<CudnnConvolution> Create(
      cudnnContext* cudnn, const ConvolutionProblem& problem,
      int64_t most_workspace_bytes, int engine);
  ~CudnnConvolution();
  CudnnConvolution(CudnnConvolution&&) noexcept;

  // Enqueues it: reads two of the operands and writes the third.
  absl::Status Run(cudnnContext* cudnn, void* x, void* w, void* y,
                   void* workspace) const;

  // What Run uses.
  int64_t workspace_bytes() const;

 private:
  struct Graph;  // cuDNN's descriptors.
  explicit CudnnConvolution(std::unique_ptr<Graph> graph);

  std::unique_ptr<Graph> graph_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
