// Element types, as CUDA's libraries name them.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_LIBRARY_TYPES_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_LIBRARY_TYPES_H_

enum cudaDataType_t {
  CUDA_R_32F = 0,
  CUDA_R_16F = 2,
  CUDA_R_16BF = 14,
};
using cudaDataType = cudaDataType_t;

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_INCLUDE_LIBRARY_TYPES_H_
