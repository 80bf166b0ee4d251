// Labels come from data, so kernels check them.
#ifndef FACET_OPS_CLASS_LABELS_H_
#define FACET_OPS_CLASS_LABELS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/kernel.h"

namespace facet::ops {

// labels: int32 [N]. InvalidArgument for the first that is not in
// [0, num_classes); it names the row of the logical tensor.
inline absl::Status CheckLabels(const TensorView& labels, int64_t num_classes) {
  const int32_t* label = labels.as<int32_t>();
  for (int64_t row = 0; row < labels.shape()[0]; ++row) {
    if (label[row] >= 0 && label[row] < num_classes) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "label ", label[row], " of row ", labels.slice.offset[0] + row,
        " is not in [0, ", num_classes, "): the model has ", num_classes,
        " classes; check the data set's labels or the number of classes"));
  }
  return absl::OkStatus();
}

}  // namespace facet::ops

#endif  // FACET_OPS_CLASS_LABELS_H_
