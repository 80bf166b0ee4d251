#include "ops/cuda/lt_gemm.h"

#include <cublasLt.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/cuda/cublas_error.h"
#include "ops/cuda/cublas_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// What registers and parts of workspaces are aligned to at least.
constexpr uint32_t kAlignment = 64;

template <typename T>
absl::Status Set(cublasLtMatmulDesc_t desc,
                 cublasLtMatmulDescAttributes_t attribute, const T& value) {
  RETURN_IF_CUBLAS_ERROR(
      cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
  return absl::OkStatus();
}

template <typename T>
absl::Status Set(cublasLtMatmulPreference_t preference,
                 cublasLtMatmulPreferenceAttributes_t attribute,
                 const T& value) {
  RETURN_IF_CUBLAS_ERROR(cublasLtMatmulPreferenceSetAttribute(
      preference, attribute, &value, sizeof(value)));
  return absl::OkStatus();
}

std::string ToString(const GemmCall& call, bool has_bias) {
  return absl::StrCat("the product [", call.m, ", ", call.k, "] [", call.k,
                      ", ", call.n, "]", has_bias ? " with a bias" : "", ", ",
                      DataTypeName(call.a.dtype));
}

}  // namespace

// cuBLASLt is column-major and sees the transposes: c' = b' * a', so that its A
// is our b, and its rows are our columns.
struct LtGemm::Descriptors {
  GemmCall call;
  bool has_bias = false;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulAlgo_t algorithm;

  ~Descriptors() {
    if (preference != nullptr) {
      (void)cublasLtMatmulPreferenceDestroy(preference);
    }
    for (cublasLtMatrixLayout_t layout : {a, b, c}) {
      if (layout != nullptr) (void)cublasLtMatrixLayoutDestroy(layout);
    }
    if (operation != nullptr) (void)cublasLtMatmulDescDestroy(operation);
  }

  absl::Status Describe();
  absl::Status Prefer();
  absl::Status Choose(int number);
};

absl::Status LtGemm::Descriptors::Describe() {
  RETURN_IF_CUBLAS_ERROR(cublasLtMatmulDescCreate(
      &operation, CublasComputeType(call), CUDA_R_32F));
  RETURN_IF_ERROR(
      Set(operation, CUBLASLT_MATMUL_DESC_TRANSA, CublasOperation(call.b)));
  RETURN_IF_ERROR(
      Set(operation, CUBLASLT_MATMUL_DESC_TRANSB, CublasOperation(call.a)));
  if (has_bias) {
    RETURN_IF_ERROR(
        Set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS));
    // The heuristics want one to be there; the real one comes with each run.
    RETURN_IF_ERROR(Set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                        reinterpret_cast<const void*>(uintptr_t{kAlignment})));
  }
  auto create = [](const GemmOperand& operand, int64_t rows, int64_t columns,
                   cublasLtMatrixLayout_t* layout) -> absl::Status {
    if (operand.transposed) std::swap(rows, columns);
    // Column-major: rows and columns change places.
    RETURN_IF_CUBLAS_ERROR(cublasLtMatrixLayoutCreate(
        layout, CublasType(operand.dtype), columns, rows, operand.stride));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(create(call.a, call.m, call.k, &a));
  RETURN_IF_ERROR(create(call.b, call.k, call.n, &b));
  return create({nullptr, call.c.dtype, call.c.stride, false}, call.m, call.n,
                &c);
}

absl::Status LtGemm::Descriptors::Prefer() {
  RETURN_IF_CUBLAS_ERROR(cublasLtMatmulPreferenceCreate(&preference));
  RETURN_IF_ERROR(
      Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
          static_cast<uint64_t>(CublasWorkspace(call, nullptr).size_bytes)));
  // Partial sums stay float32.
  RETURN_IF_ERROR(
      Set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
          static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)));
  for (const cublasLtMatmulPreferenceAttributes_t attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    RETURN_IF_ERROR(Set(preference, attribute, kAlignment));
  }
  return absl::OkStatus();
}

absl::Status LtGemm::Descriptors::Choose(int number) {
  constexpr int kMost = 16;
  std::array<cublasLtMatmulHeuristicResult_t, kMost> results;
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, operation, b, a, c, c, preference, kMost, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) {
    found = 0;
  } else {
    RETURN_IF_CUBLAS_ERROR(status);
  }
  int usable = 0;
  for (int i = 0; i < found; ++i) {
    if (results[i].state == CUBLAS_STATUS_SUCCESS) {
      results[usable++] = results[i];
    }
  }
  if (usable == 0) {
    return absl::UnimplementedError(
        absl::StrCat(ToString(call, has_bias), ": cuBLASLt ",
                     cublasLtGetVersion(), " has no algorithm for it"));
  }
  algorithm = results[number % usable].algo;
  return absl::OkStatus();
}

LtGemm::LtGemm(std::unique_ptr<Descriptors> descriptors)
    : descriptors_(std::move(descriptors)) {}
LtGemm::~LtGemm() = default;
LtGemm::LtGemm(LtGemm&&) noexcept = default;

absl::StatusOr<LtGemm> LtGemm::Create(CudaContext* cuda, const GemmCall& call,
                                      bool has_bias, int algorithm) {
  CHECK(call.m > 0 && call.n > 0 && call.k > 0);
  CHECK(call.alpha == 1 && call.beta == 0);
  CHECK_GE(algorithm, 0);
  ASSIGN_OR_RETURN(cublasContext* const cublas, cuda->cublas());
  auto descriptors = std::make_unique<Descriptors>();
  descriptors->call = call;
  descriptors->has_bias = has_bias;
  RETURN_IF_ERROR(descriptors->Describe());
  RETURN_IF_ERROR(descriptors->Prefer());
  // One of cuBLAS is one of cuBLASLt, too.
  descriptors->handle = reinterpret_cast<cublasLtHandle_t>(cublas);
  RETURN_IF_ERROR(descriptors->Choose(algorithm));
  return LtGemm(std::move(descriptors));
}

absl::Status LtGemm::Run(cudaStream_t stream, const Operands& operands) const {
  const Descriptors& d = *descriptors_;
  if (d.has_bias) {
    RETURN_IF_ERROR(
        Set(d.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias));
  }
  const CublasWorkspace workspace(d.call, operands.workspace);
  RETURN_IF_CUBLAS_ERROR(cublasLtMatmul(
      d.handle, d.operation, &d.call.alpha, operands.b, d.b, operands.a, d.a,
      &d.call.beta, operands.c, d.c, operands.c, d.c, &d.algorithm,
      workspace.data, static_cast<size_t>(workspace.size_bytes), stream));
  return absl::OkStatus();
}

}  // namespace facet::ops
