#include "third_party/cuda_emulation/elements.h"

#include <immintrin.h>

#include <cstring>

#include "third_party/cuda_emulation/emulation.h"

namespace cuda_emulation {
namespace {

uint16_t ToBFloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (value != value) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

float DecodeElement(const char* bytes, cudaDataType_t type) {
  float value;
  if (type == CUDA_R_32F) {
    std::memcpy(&value, bytes, sizeof(value));
    return value;
  }
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  if (type == CUDA_R_16F) return _cvtsh_ss(half);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void EncodeElement(float value, cudaDataType_t type, char* bytes) {
  if (type == CUDA_R_32F) {
    std::memcpy(bytes, &value, sizeof(value));
    return;
  }
  const uint16_t half = type == CUDA_R_16F
                            ? _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)
                            : ToBFloat16(value);
  std::memcpy(bytes, &half, sizeof(half));
}

float LoadElement(const char* what, const void* data, cudaDataType_t type,
                  int64_t i) {
  const char* device = static_cast<const char*>(data) + i * SizeOf(type);
  ExpectWritten(what, device, SizeOf(type));
  return DecodeElement(Storage(device), type);
}

void StoreElement(void* data, cudaDataType_t type, int64_t i, float value) {
  char* device = static_cast<char*>(data) + i * SizeOf(type);
  EncodeElement(value, type, Storage(device));
  MarkWritten(device, SizeOf(type));
}

}  // namespace cuda_emulation
