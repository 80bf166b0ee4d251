#include "ops/matmul/gemm.h"

#include "absl/strings/str_cat.h"
#include "oneapi/dnnl/dnnl.h"
#include "ops/onednn.h"

namespace facet::ops {

absl::Status Gemm(int64_t m, int64_t n, int64_t k, const GemmOperand& a,
                  const GemmOperand& b, float beta, float* c,
                  int64_t c_stride) {
  const dnnl_status_t status = dnnl_sgemm(
      a.transpose ? 'T' : 'N', b.transpose ? 'T' : 'N', m, n, k,
      /*alpha=*/1.0f, a.data, a.stride, b.data, b.stride, beta, c, c_stride);
  if (status == dnnl_success) return absl::OkStatus();
  return OnednnError(
      absl::StrCat("sgemm [", m, ", ", k, "] x [", k, ", ", n, "]"),
      dnnl::error(status, "dnnl_sgemm failed"));
}

}  // namespace facet::ops
