// The C++ types of the 16-bit element types, and a way to call a template with
// the type of a DataType.
#ifndef FACET_OPS_HALF_H_
#define FACET_OPS_HALF_H_

#include <cstdint>
#include <utility>

#include "Eigen/Core"
#include "glog/logging.h"
#include "ops/graph/data_type.h"

namespace facet::ops {

using Float16 = Eigen::half;
using BFloat16 = Eigen::bfloat16;

// Calls f(T{}) with the C++ type of a floating dtype and returns its result:
//   VisitFloating(dtype, [&](auto zero) { Fill<decltype(zero)>(...); });
template <typename F>
decltype(auto) VisitFloating(DataType dtype, F&& f) {
  switch (dtype) {
    case DataType::kFloat16:
      return f(Float16{});
    case DataType::kBFloat16:
      return f(BFloat16{});
    default:
      CHECK(dtype == DataType::kFloat32)
          << std::string(DataTypeName(dtype)) << " is not floating";
      return f(float{});
  }
}

}  // namespace facet::ops

#endif  // FACET_OPS_HALF_H_
