#include "placement/plan/memory_kinds.h"

#include <cstdint>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace facet::placement {

std::vector<MemoryKind> MemoryKinds(const Plan& plan) {
  std::vector<std::vector<int>> kinds;
  std::map<std::tuple<int64_t, int64_t, int64_t>, size_t> known;
  for (int d = 0; d < plan.devices_size(); ++d) {
    const Device& device = plan.devices(d);
    const auto [it, is_new] = known.emplace(
        std::make_tuple(device.arena_bytes(), device.persistent_bytes(),
                        device.live_bytes()),
        kinds.size());
    if (is_new) kinds.emplace_back();
    kinds[it->second].push_back(d);
  }
  std::vector<MemoryKind> result;
  for (const std::vector<int>& devices : kinds) {
    const int count = static_cast<int>(devices.size());
    MemoryKind kind = {plan.devices(devices[0]).name(), devices[0]};
    if (count > 1 && devices.back() - devices[0] + 1 == count) {
      absl::StrAppend(&kind.name, " ... ", plan.devices(devices.back()).name());
    } else if (count > 1) {
      absl::StrAppend(&kind.name, " and ", count - 1, " more");
    }
    result.push_back(kind);
  }
  return result;
}

}  // namespace facet::placement
