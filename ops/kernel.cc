#include "ops/kernel.h"

#include <utility>

#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::ops {

absl::StatusOr<GroupKernel> CreateGroupKernel(
    const KernelDef& def, absl::Span<const KernelSpec> specs) {
  if (specs.size() > 1 && def.create_group != nullptr) {
    return def.create_group(specs);
  }
  std::vector<Kernel> kernels;
  for (const KernelSpec& spec : specs) {
    ASSIGN_OR_RETURN(kernels.emplace_back(), def.create(spec));
  }
  return GroupKernel(
      [kernels = std::move(kernels)](absl::Span<const KernelContext> parts) {
        DCHECK_EQ(parts.size(), kernels.size());
        for (size_t i = 0; i < kernels.size(); ++i) {
          RETURN_IF_ERROR(kernels[i](parts[i]));
        }
        return absl::OkStatus();
      });
}

}  // namespace facet::ops
