// How the kernels of image_source read a device's part of a batch.
#ifndef FACET_OPS_IMAGE_SOURCE_READ_IMAGES_H_
#define FACET_OPS_IMAGE_SOURCE_READ_IMAGES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/data_source.h"
#include "ops/kernel.h"

namespace facet::ops {

// Into memory of the host, as large as the outputs.
inline absl::Status ReadImages(const KernelContext& context, float* images,
                               int32_t* labels) {
  if (context.data_source == nullptr) {
    return absl::FailedPreconditionError(
        "image_source: the graph reads images, but the session was given no "
        "data source");
  }
  const TensorSlice& slice = context.outputs[1].slice;
  const int64_t begin = slice.offset[0];
  return context.data_source->Read(context.step, begin, begin + slice.shape[0],
                                   images, labels);
}

}  // namespace facet::ops

#endif  // FACET_OPS_IMAGE_SOURCE_READ_IMAGES_H_
