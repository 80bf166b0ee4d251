#include "ops/conv2d/cudnn_target.h"

#include <cudnn.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/conv2d/cudnn_descriptor.h"
#include "ops/cuda/cudnn_error.h"
#include "ops/status_macros.h"

namespace facet::ops {

CudnnTarget::CudnnTarget(cudnnContext* cudnn) : cudnn_(cudnn) {}

#if CUDNN_VERSION >= 90800

absl::StatusOr<CudnnTarget> CudnnTarget::Described(
    absl::string_view properties) {
  ASSIGN_OR_RETURN(CudnnDescriptor descriptor,
                   CudnnDescriptor::Make(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR));
  RETURN_IF_CUDNN_ERROR(cudnnBackendSetAttribute(
      descriptor.get(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
      CUDNN_TYPE_CHAR, static_cast<int64_t>(properties.size()),
      properties.data()));
  RETURN_IF_ERROR(descriptor.Finalize());
  CudnnTarget target(nullptr);
  target.properties_ = std::make_shared<CudnnDescriptor>(std::move(descriptor));
  return target;
}

absl::Status CudnnTarget::SetOnHeuristics(CudnnDescriptor* heuristics) const {
  if (properties_ == nullptr) return absl::OkStatus();  // They ask the graph.
  return heuristics->Set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *properties_);
}

absl::Status CudnnTarget::SetOnPlan(CudnnDescriptor* plan) const {
  if (properties_ != nullptr) {
    return plan->Set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *properties_);
  }
  return plan->Set<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                  CUDNN_TYPE_HANDLE, {cudnn_});
}

#else

absl::StatusOr<CudnnTarget> CudnnTarget::Described(absl::string_view) {
  return absl::UnimplementedError(
      absl::StrCat("cuDNN ", CUDNN_VERSION,
                   " makes plans only for GPUs that are here; 9.8 and later "
                   "make them for others"));
}

absl::Status CudnnTarget::SetOnHeuristics(CudnnDescriptor*) const {
  return absl::OkStatus();
}

absl::Status CudnnTarget::SetOnPlan(CudnnDescriptor* plan) const {
  return plan->Set<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                  CUDNN_TYPE_HANDLE, {cudnn_});
}

#endif

absl::Status CudnnTarget::SetOnGraph(CudnnDescriptor* graph) const {
  if (cudnn_ == nullptr) return absl::OkStatus();
  return graph->Set<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE,
                                   CUDNN_TYPE_HANDLE, {cudnn_});
}

}  // namespace facet::ops
