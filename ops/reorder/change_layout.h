// ChangeLayout: copies a tensor [N, C, H, W] from one memory layout to
// another; what "reorder" does, and "flatten" and "unflatten" on the way.
#ifndef FACET_OPS_REORDER_CHANGE_LAYOUT_H_
#define FACET_OPS_REORDER_CHANGE_LAYOUT_H_

#include "ops/graph/data_type.h"
#include "ops/graph/layout.h"
#include "ops/graph/shape.h"

namespace facet::ops {

// `shape` [N, C, H, W] is what is here; C must be a multiple of the channel
// blocks of both layouts. Any dtype. `to` must not overlap `from`, unless the
// layouts are the same: then it may be `from`, and nothing is done.
void ChangeLayout(const Shape& shape, DataType dtype, Layout from_layout,
                  const void* from, Layout to_layout, void* to);

}  // namespace facet::ops

#endif  // FACET_OPS_REORDER_CHANGE_LAYOUT_H_
