#include "ops/matmul/sgemm.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "oneapi/dnnl/dnnl.h"
#include "ops/onednn.h"

namespace facet::ops {

absl::Status Sgemm(int64_t m, int64_t n, int64_t k, const SgemmOperand& a,
                   const SgemmOperand& b, float beta, float* c,
                   int64_t c_stride) {
  // oneDNN refuses matrices without elements.
  if (m == 0 || n == 0) return absl::OkStatus();
  if (k == 0 && beta == 0) {
    for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * c_stride, n, 0.0f);
    return absl::OkStatus();
  }
  const dnnl_status_t status = dnnl_sgemm(
      a.transpose ? 'T' : 'N', b.transpose ? 'T' : 'N', m, n, k,
      /*alpha=*/1.0f, a.data, a.stride, b.data, b.stride, beta, c, c_stride);
  if (status == dnnl_success) return absl::OkStatus();
  return OnednnError(
      absl::StrCat("sgemm [", m, ", ", k, "] x [", k, ", ", n, "]"),
      dnnl::error(status, "dnnl_sgemm failed"));
}

}  // namespace facet::ops
