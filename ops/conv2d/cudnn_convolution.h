// A convolution, or one of its gradients, by cuDNN's calls with descriptors:
// those that all versions to 9 have. What surrounds it: cuda.cu.
#ifndef FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
#define FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/conv2d/problem.h"

// Of cuDNN; its header is large.
struct cudnnContext;  // CudaContext::cudnn()
struct cudnnTensorStruct;
struct cudnnFilterStruct;
struct cudnnConvolutionStruct;

namespace facet::ops {

struct CudnnDelete {
  void operator()(cudnnTensorStruct* descriptor) const;
  void operator()(cudnnFilterStruct* descriptor) const;
  void operator()(cudnnConvolutionStruct* descriptor) const;
};

class CudnnConvolution {
 public:
  // Takes the algorithm that cuDNN's heuristics call the fastest of those that
  // give the same bits each time and need at most `most_workspace_bytes`: for
  // one version of cuDNN on one kind of GPU always the same. Nothing is
  // measured, since what is fastest by a hair differs from run to run.
  //
  // x, w and y of the problem must have one floating type and one layout,
  // row-major or channels-last (of w: O KH KW C), and elements. Float32 is
  // multiplied as float32 or, if the problem says may_round and the heuristics
  // find it faster, as TF32; 16 bits by tensor cores, with sums in float32.
  // Unimplemented if no algorithm will do, with what there is.
  static absl::StatusOr<CudnnConvolution> Create(
      cudnnContext* cudnn, const ConvolutionProblem& problem,
      int64_t most_workspace_bytes);

  // Enqueues it: reads two of the operands and writes the third.
  absl::Status Run(cudnnContext* cudnn, void* x, void* w, void* y,
                   void* workspace) const;

  // What Run uses.
  int64_t workspace_bytes() const { return algorithm_.workspace_bytes; }

  // As cuDNN numbers those of the direction.
  struct Algorithm {
    int number = 0;
    int math_type = 0;
    int64_t workspace_bytes = 0;
  };

 private:
  CudnnConvolution() = default;
  absl::Status Describe();
  absl::StatusOr<Algorithm> Choose(cudnnContext* cudnn, int64_t most) const;
  absl::Status Enqueue(cudnnContext* cudnn, void* x, void* w, void* y,
                       void* workspace) const;

  ConvolutionProblem problem_;
  std::unique_ptr<cudnnTensorStruct, CudnnDelete> x_, y_;
  std::unique_ptr<cudnnFilterStruct, CudnnDelete> w_;
  std::unique_ptr<cudnnConvolutionStruct, CudnnDelete> convolution_;
  Algorithm algorithm_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CUDNN_CONVOLUTION_H_
