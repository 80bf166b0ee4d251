#include "ops/matmul/algorithm.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace facet::ops {

std::string CublasLtAlgorithm(int number) {
  return absl::StrCat("cublaslt:", number);
}

std::optional<int> CublasLtNumber(absl::string_view algorithm) {
  int number = 0;
  absl::string_view digits = algorithm;
  if (!absl::ConsumePrefix(&digits, "cublaslt:") ||
      !absl::SimpleAtoi(digits, &number) || number < 0 ||
      algorithm != CublasLtAlgorithm(number)) {
    return std::nullopt;
  }
  return number;
}

absl::Status CheckMatmulAlgorithm(const std::string& algorithm) {
  if (algorithm == "auto" || algorithm == "cublas" ||
      CublasLtNumber(algorithm).has_value()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "algorithm is \"", algorithm,
      "\"; expected \"auto\", \"cublas\" or \"cublaslt:N\" with N from 0"));
}

absl::Status ExpectNoGpuAlgorithm(const std::string& algorithm) {
  if (algorithm == "auto") return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("algorithm \"", algorithm,
                   "\" is for CUDA devices; on a CPU use \"auto\""));
}

}  // namespace facet::ops
