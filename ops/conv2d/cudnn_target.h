// CudnnTarget: the GPU that cuDNN makes plans for.
#ifndef FACET_OPS_CONV2D_CUDNN_TARGET_H_
#define FACET_OPS_CONV2D_CUDNN_TARGET_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct cudnnContext;  // CudaContext::cudnn()

namespace facet::ops {

class CudnnDescriptor;  // cudnn_descriptor.h

class CudnnTarget {
 public:
  // That of a handle, which outlives what is made for it.
  explicit CudnnTarget(cudnnContext* cudnn);

  // One that need not be here, by its properties as cuDNN writes them (JSON;
  // CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION): what is made for it cannot run,
  // but says what cuDNN would do there. Unimplemented before cuDNN 9.8.
  static absl::StatusOr<CudnnTarget> Described(absl::string_view properties);

  // Tells an operation graph, heuristics or an execution plan, not finalized.
  absl::Status SetOnGraph(CudnnDescriptor* graph) const;
  absl::Status SetOnHeuristics(CudnnDescriptor* heuristics) const;
  absl::Status SetOnPlan(CudnnDescriptor* plan) const;

 private:
  // One of them.
  cudnnContext* cudnn_ = nullptr;
  std::shared_ptr<CudnnDescriptor> properties_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CUDNN_TARGET_H_
