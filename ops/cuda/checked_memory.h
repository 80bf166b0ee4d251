// What DeviceSpan does in the emulation.
#ifndef FACET_OPS_CUDA_CHECKED_MEMORY_H_
#define FACET_OPS_CUDA_CHECKED_MEMORY_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "third_party/cuda_emulation/emulation.h"

namespace facet::ops {

// True if an access of V at element i of `size` elements of T may be made.
template <typename V, typename T>
bool CheckElement(const char* does, T* data, int64_t size, int64_t i) {
  constexpr int64_t kCount = sizeof(V) / sizeof(T);
  if (i < 0 || i + kCount > size) {
    cuda_emulation::Violation(std::string(does) + " element " +
                              std::to_string(i) + (kCount > 1 ? " ff." : "") +
                              " of a span of " + std::to_string(size));
    return false;
  }
  if (reinterpret_cast<uintptr_t>(data + i) % alignof(V) != 0) {
    cuda_emulation::Violation(std::string(does) + " element " +
                              std::to_string(i) +
                              ", which is not aligned to the vector's size");
    return false;
  }
  return true;
}

template <typename V, typename T>
V LoadChecked(T* data, int64_t size, int64_t i) {
  V value = {};
  if (!CheckElement<V>("loads", data, size, i)) return value;
  if (!cuda_emulation::IsWritten(data + i, sizeof(V))) {
    cuda_emulation::Violation("loads element " + std::to_string(i) +
                              " of a span of " + std::to_string(size) +
                              ", which nobody has written");
  }
  std::memcpy(&value, cuda_emulation::Storage(data + i), sizeof(V));
  return value;
}

template <typename V, typename T>
void StoreChecked(T* data, int64_t size, int64_t i, const V& value) {
  static_assert(!std::is_const_v<T>, "a span of const is not written");
  if (!CheckElement<V>("stores", data, size, i)) return;
  std::memcpy(cuda_emulation::Storage(data + i), &value, sizeof(V));
  cuda_emulation::MarkWritten(data + i, sizeof(V));
}

}  // namespace facet::ops

#endif  // FACET_OPS_CUDA_CHECKED_MEMORY_H_
