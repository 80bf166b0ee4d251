#include "benchmarks/kernel_run.h"

#include <sys/mman.h>

#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {

FloatMemory AllocateFloats(int64_t bytes) {
  constexpr int64_t kHugePage = int64_t{2} << 20, kLine = 64;
  const int64_t alignment = bytes >= kHugePage ? kHugePage : kLine;
  const int64_t rounded = (bytes + alignment) / alignment * alignment;
  FloatMemory memory(
      static_cast<float*>(std::aligned_alloc(alignment, rounded)));
  CHECK(memory != nullptr) << bytes << " bytes";
  // Advice only.
  if (alignment == kHugePage) {
    (void)madvise(memory.get(), rounded, MADV_HUGEPAGE);
  }
  for (int64_t i = 0; i < bytes / 4; ++i) {
    memory.get()[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  }
  return memory;
}

ops::TensorSlice WholeFloat32(const ops::Shape& shape, ops::Layout layout) {
  ops::TensorSlice slice;
  slice.dtype = ops::DataType::kFloat32;
  slice.layout = layout;
  slice.shape = slice.global_shape = shape;
  slice.offset = ops::Shape(std::vector<int64_t>(shape.rank(), 0));
  return slice;
}

absl::StatusOr<KernelRun> KernelRun::Create(const std::string& op,
                                            const ops::KernelSpec& spec) {
  const ops::KernelDef* def = ops::CpuKernels().find(op);
  CHECK(def != nullptr) << op;
  int64_t workspace_bytes = 0;
  if (def->workspace_bytes) {
    ASSIGN_OR_RETURN(workspace_bytes, def->workspace_bytes(spec));
  }
  KernelRun run;
  ASSIGN_OR_RETURN(run.kernel_, def->create(spec));
  run.num_inputs_ = spec.inputs.size();
  for (const auto& slices : {spec.inputs, spec.outputs}) {
    for (const ops::TensorSlice& slice : slices) {
      run.memory_.push_back(AllocateFloats(slice.size_bytes()));
      run.views_.push_back({slice, run.memory_.back().get()});
    }
  }
  run.memory_.push_back(AllocateFloats(workspace_bytes));
  return run;
}

void KernelRun::Run() {
  ops::KernelContext context;
  context.inputs = absl::MakeSpan(views_).first(num_inputs_);
  context.outputs = absl::MakeSpan(views_).subspan(num_inputs_);
  context.workspace = memory_.back().get();
  const absl::Status status = kernel_(context);
  CHECK(status.ok()) << status;
}

}  // namespace facet::benchmarks
