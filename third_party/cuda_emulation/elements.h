// Elements of device memory for the emulated libraries: by data type, as float.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_ELEMENTS_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_ELEMENTS_H_

#include <cstdint>

#include "library_types.h"

namespace cuda_emulation {

inline int64_t SizeOf(cudaDataType_t type) {
  return type == CUDA_R_32F ? 4 : 2;
}

// An element in the host's memory, and back, rounded to nearest even.
float DecodeElement(const char* bytes, cudaDataType_t type);
void EncodeElement(float value, cudaDataType_t type, char* bytes);

// Of work: element i of an array in device memory. Reading one that nobody
// wrote is a violation, which names `what`.
float LoadElement(const char* what, const void* data, cudaDataType_t type,
                  int64_t i);
void StoreElement(void* data, cudaDataType_t type, int64_t i, float value);

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_ELEMENTS_H_
