// LtGemm: one product of row-major matrices by cuBLASLt, whose algorithm the
// caller chooses, with or without a bias in its epilogue. Sums in float32, the
// same bits each time. Where nobody chooses: Gemm (gemm.h).
#ifndef FACET_OPS_CUDA_LT_GEMM_H_
#define FACET_OPS_CUDA_LT_GEMM_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/gemm.h"

namespace facet::ops {

class LtGemm {
 public:
  // c = a * b, or with a bias [n], of c's type, added to every row. `call` has
  // no data, alpha 1 and beta 0, and nothing in it is empty. Of the algorithms
  // that cuBLASLt's heuristics list for it, the fastest first, number
  // `algorithm`, from 0; after the last comes the first. For one version of
  // cuBLAS on one kind of GPU always the same. Unimplemented if there is none.
  static absl::StatusOr<LtGemm> Create(CudaContext* cuda, const GemmCall& call,
                                       bool has_bias, int algorithm);
  ~LtGemm();
  LtGemm(LtGemm&&) noexcept;

  // On the device, aligned as registers are: 64 bytes. `workspace`:
  // GemmWorkspaceBytes(m, n).
  struct Operands {
    const void* a = nullptr;
    const void* b = nullptr;
    const void* bias = nullptr;
    void* c = nullptr;
    void* workspace = nullptr;
  };
  // Enqueues it. By one thread at a time.
  absl::Status Run(cudaStream_t stream, const Operands& operands) const;

 private:
  struct Descriptors;  // cuBLASLt's.
  explicit LtGemm(std::unique_ptr<Descriptors> descriptors);

  std::unique_ptr<Descriptors> descriptors_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_LT_GEMM_H_
