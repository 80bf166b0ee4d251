#include "tests/parity/formula.h"

#include <cmath>

#include "absl/strings/match.h"
#include "glog/logging.h"

namespace facet::tests {
namespace {

uint64_t Fnv1a(absl::string_view text) {
  uint64_t value = 0xCBF29CE484222325u;
  for (char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  return value;
}

// Uniform in [center - range, center + range).
struct Spread {
  double center = 0;
  double range = 0;
};

// A parameter of a batch norm whose output a PReLU takes.
bool IsBeforePrelu(absl::string_view name) {
  return absl::StartsWith(name, "bn1.") ||
         (absl::StartsWith(name, "layer") && absl::StrContains(name, ".bn2."));
}

Spread SpreadOf(absl::string_view name, const ops::Shape& shape,
                bool clear_of_kinks) {
  if (name == "head.weight") return {0, 0.01 * std::sqrt(3.0)};
  if (name == "features.weight") return {1, 0};  // Frozen.
  if (name == "fc.weight" || name == "fc.bias") {
    return {0, 1 / std::sqrt(25088.0)};
  }
  if (shape.rank() == 4) return {0, 0.1 * std::sqrt(3.0)};
  if (absl::StrContains(name, "prelu")) return {0.25, 0.1};
  if (absl::EndsWith(name, ".weight")) {
    return clear_of_kinks && IsBeforePrelu(name) ? Spread{0.1, 0.02}
                                                 : Spread{1, 0.2};
  }
  CHECK(absl::EndsWith(name, ".bias")) << std::string(name);
  return {0, 0.1};
}

}  // namespace

std::vector<double> UniformAt(absl::string_view name, int64_t count) {
  // SplitMix64 of a counter that starts at the hash of the name.
  std::vector<double> values(count);
  uint64_t state = Fnv1a(name);
  for (double& value : values) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    value = static_cast<double>(z >> 40) * 0x1p-23 - 1;
  }
  return values;
}

std::vector<double> ParameterAt(absl::string_view name, const ops::Shape& shape,
                                bool clear_of_kinks) {
  const Spread spread = SpreadOf(name, shape, clear_of_kinks);
  const bool moved =
      clear_of_kinks && IsBeforePrelu(name) && absl::EndsWith(name, ".bias");
  std::vector<double> values = UniformAt(name, shape.num_elements());
  for (double& value : values) {
    value = spread.center + spread.range * value;
    if (moved) value += std::copysign(1.0, value);
    value = static_cast<float>(value);
  }
  return values;
}

}  // namespace facet::tests
