// KernelSpecText: a key for what is known, or was measured, of a kernel.
#ifndef FACET_PLACEMENT_KERNEL_SPEC_TEXT_H_
#define FACET_PLACEMENT_KERNEL_SPEC_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ops/kernel.h"

namespace facet::placement {

// All that a kernel may depend on, in one line: specs that differ have
// different texts (floating attributes to 9 digits).
//   matmul 1/2 transpose_a=false float32 nchw [2, 3] of [4, 3] at [2, 0]; ...
// ("of ... at ..." is left out of what is a whole tensor.)
std::string KernelSpecText(absl::string_view op, const ops::KernelSpec& spec);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_KERNEL_SPEC_TEXT_H_
