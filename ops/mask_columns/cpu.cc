#include "ops/elementwise.h"
#include "ops/kernel.h"
#include "ops/mask_columns/mask_value.h"
#include "ops/row_list_view.h"

namespace facet::ops {

KernelDef MaskColumnsCpuKernel() {
  KernelDef def;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    return Kernel(
        [value = MaskValue(spec.attributes)](const KernelContext& context) {
          const TensorView& x = context.inputs[0];
          const float* from = x.as<float>();
          float* to = context.outputs[0].as<float>();
          if (to != from) {
            ParallelForElements(x.slice.num_elements(), [&](auto v, int64_t i) {
              using V = decltype(v);
              Store<V>(to + i, Load<V>(from + i));
            });
          }
          // The entries of the list that are here are the columns that are
          // here.
          const TensorView& rows = context.inputs[1];
          const RowListView list(rows, rows.slice);
          const int64_t columns = x.shape()[1];
          list.ForPadding([&](int64_t begin, int64_t end) {
            for (int64_t row = 0; row < x.shape()[0]; ++row) {
              std::fill(to + row * columns + begin, to + row * columns + end,
                        value);
            }
          });
          return absl::OkStatus();
        });
  };
  return def;
}

}  // namespace facet::ops
