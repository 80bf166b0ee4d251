// Kernels for variables that are taken as they are stored (expect_stored.h).
#ifndef FACET_OPS_VISIT_STORED_H_
#define FACET_OPS_VISIT_STORED_H_

#include <string>

#include "glog/logging.h"
#include "ops/half.h"

namespace facet::ops {

// Calls f(T{}) with the C++ type of a stored dtype, float or BFloat16, and
// returns its result.
template <typename F>
decltype(auto) VisitStored(DataType dtype, F&& f) {
  if (dtype == DataType::kBFloat16) return f(BFloat16{});
  CHECK(dtype == DataType::kFloat32) << std::string(DataTypeName(dtype));
  return f(float{});
}

}  // namespace facet::ops

#endif  // FACET_OPS_VISIT_STORED_H_
