// CudnnDescriptor: what cuDNN's graph API describes everything with, owned.
#ifndef FACET_OPS_CONV2D_CUDNN_DESCRIPTOR_H_
#define FACET_OPS_CONV2D_CUDNN_DESCRIPTOR_H_

#include <cudnn.h>

#include <cstdint>
#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/cuda/cudnn_error.h"
#include "ops/status_macros.h"

namespace facet::ops {

// Used as: make it, set its attributes, finalize it, get what cuDNN found.
class CudnnDescriptor {
 public:
  CudnnDescriptor() = default;
  ~CudnnDescriptor() {
    if (handle_ != nullptr) (void)cudnnBackendDestroyDescriptor(handle_);
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  static absl::StatusOr<CudnnDescriptor> Make(
      cudnnBackendDescriptorType_t type) {
    CudnnDescriptor descriptor;
    RETURN_IF_CUDNN_ERROR(
        cudnnBackendCreateDescriptor(type, &descriptor.handle_));
    return descriptor;
  }

  cudnnBackendDescriptor_t get() const { return handle_; }

  // `type` must be cuDNN's name of T.
  template <typename T>
  absl::Status Set(cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type,
                   std::initializer_list<T> values) {
    RETURN_IF_CUDNN_ERROR(cudnnBackendSetAttribute(
        handle_, name, type, static_cast<int64_t>(values.size()),
        values.begin()));
    return absl::OkStatus();
  }
  absl::Status Set(cudnnBackendAttributeName_t name,
                   std::initializer_list<int64_t> values) {
    return Set<int64_t>(name, CUDNN_TYPE_INT64, values);
  }
  absl::Status Set(cudnnBackendAttributeName_t name,
                   const CudnnDescriptor& value) {
    return Set<cudnnBackendDescriptor_t>(name, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                         {value.get()});
  }
  absl::Status Finalize() {
    RETURN_IF_CUDNN_ERROR(cudnnBackendFinalize(handle_));
    return absl::OkStatus();
  }

  // Up to `most` values; how many there were.
  template <typename T>
  absl::StatusOr<int64_t> Get(cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, int64_t most,
                              T* values) const {
    int64_t count = 0;
    RETURN_IF_CUDNN_ERROR(
        cudnnBackendGetAttribute(handle_, name, type, most, &count, values));
    return count;
  }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CONV2D_CUDNN_DESCRIPTOR_H_
