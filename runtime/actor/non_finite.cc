#include "runtime/actor/non_finite.h"

namespace facet::runtime {
namespace {

// `kInfinity`: the bits of an exponent of ones.
template <typename Bits, Bits kInfinity>
bool Has(const void* values, int64_t count) {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  constexpr Bits kLowest = kSign | kInfinity;
  const Bits* bits = static_cast<const Bits*>(values);
  // Without a branch per value: few tensors have any.
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    found += ((bits[i] & kInfinity) == kInfinity) & (bits[i] != kLowest);
  }
  return found > 0;
}

}  // namespace

bool HasNonFinite(ops::DataType dtype, const void* values, int64_t count) {
  switch (dtype) {
    case ops::DataType::kFloat32:
      return Has<uint32_t, 0x7f800000>(values, count);
    case ops::DataType::kFloat16:
      return Has<uint16_t, 0x7c00>(values, count);
    case ops::DataType::kBFloat16:
      return Has<uint16_t, 0x7f80>(values, count);
    case ops::DataType::kInt32:
    case ops::DataType::kInt64:
      return false;
  }
  return false;
}

}  // namespace facet::runtime
