#include "third_party/cuda_emulation/product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "third_party/cuda_emulation/elements.h"
#include "third_party/cuda_emulation/emulation.h"

namespace cuda_emulation {
namespace {

using Matrix = Product::Matrix;

// Bytes from the first to the last element of a [rows, columns] matrix.
int64_t MatrixBytes(int64_t rows, int64_t columns, const Matrix& matrix) {
  if (rows == 0 || columns == 0) return 0;
  return ((columns - 1) * matrix.ld + rows) * SizeOf(matrix.type);
}

// A matrix in device memory, as floats [rows, columns], column-major.
std::vector<float> Read(const char* name, int64_t rows, int64_t columns,
                        const Matrix& matrix) {
  std::vector<float> values(rows * columns);
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      values[c * rows + r] =
          LoadElement(name, matrix.data, matrix.type, c * matrix.ld + r);
    }
  }
  return values;
}

// What a product leaves of its workspace. A large one is spoiled at its ends
// only, where something else may begin: all of it would take more time than
// most products of a test.
void Spoil(void* workspace, int64_t size_bytes) {
  const int64_t end = std::min<int64_t>(size_bytes, 64 << 10);
  char* const storage = Storage(static_cast<char*>(workspace));
  std::memset(storage, 0xff, end);
  std::memset(storage + size_bytes - end, 0xff, end);
}

// Rounded to 11 significant bits, ties away from zero (cvt.rna.tf32).
float ToTf32(float value) {
  if (!std::isfinite(value)) return value;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = (bits + 0x1000) & ~uint32_t{0x1fff};
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// How a factor is stored.
struct Stored {
  int64_t rows, columns;
};
Stored StoredA(const Product& p) {
  return p.a.transposed ? Stored{p.k, p.m} : Stored{p.m, p.k};
}
Stored StoredB(const Product& p) {
  return p.b.transposed ? Stored{p.n, p.k} : Stored{p.k, p.n};
}

void Run(const Product& p) {
  const Stored a = StoredA(p), b = StoredB(p);
  std::vector<float> x = Read(p.name, a.rows, a.columns, p.a);
  std::vector<float> y = Read(p.name, b.rows, b.columns, p.b);
  if (p.compute == CUBLAS_COMPUTE_32F_FAST_TF32) {
    for (float& value : x) value = ToTf32(value);
    for (float& value : y) value = ToTf32(value);
  }
  void* const c = const_cast<void*>(p.c.data);
  for (int64_t j = 0; j < p.n; ++j) {
    for (int64_t i = 0; i < p.m; ++i) {
      double sum = 0;
      for (int64_t l = 0; l < p.k; ++l) {
        sum +=
            static_cast<double>(x[p.a.transposed ? i * p.k + l : l * p.m + i]) *
            y[p.b.transposed ? l * p.n + j : j * p.k + l];
      }
      const int64_t at = j * p.c.ld + i;
      sum *= p.alpha;
      if (p.beta != 0) {
        sum +=
            static_cast<double>(p.beta) * LoadElement(p.name, c, p.c.type, at);
      }
      if (p.bias != nullptr) sum += LoadElement(p.name, p.bias, p.c.type, i);
      StoreElement(c, p.c.type, at, static_cast<float>(sum));
    }
  }
  if (p.workspace_bytes > 0) Spoil(p.workspace, p.workspace_bytes);
}

}  // namespace

cublasStatus_t EnqueueProduct(const Product& p, cudaStream_t stream) {
  const Stored a = StoredA(p), b = StoredB(p);
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.a.ld < std::max<int64_t>(a.rows, 1) ||
      p.b.ld < std::max<int64_t>(b.rows, 1) ||
      p.c.ld < std::max<int64_t>(p.m, 1)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (p.a.type != p.b.type ||
      (p.c.type != p.a.type && p.c.type != CUDA_R_32F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (p.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p.a.type != CUDA_R_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;  // Rounds float32, and nothing else.
  }
  std::vector<Access> accesses = {
      {p.a.data, MatrixBytes(a.rows, a.columns, p.a), false},
      {p.b.data, MatrixBytes(b.rows, b.columns, p.b), false},
      {p.c.data, MatrixBytes(p.m, p.n, p.c), true}};
  if (p.bias != nullptr) {
    accesses.push_back({p.bias, p.m * SizeOf(p.c.type), false});
  }
  if (p.workspace_bytes > 0) {
    accesses.push_back({p.workspace, p.workspace_bytes, true});
  }
  const cudaError_t error = Enqueue(p.name, stream, accesses, [p] { Run(p); });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                              : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace cuda_emulation
