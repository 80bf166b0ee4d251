#include "placement/memory_check.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace facet::placement {
namespace {

std::string Size(int64_t bytes) {
  if (bytes >= int64_t{1} << 30) {
    return absl::StrFormat("%.2f GiB", bytes / double{1 << 30});
  }
  return absl::StrFormat("%.2f MiB", bytes / double{1 << 20});
}

// "head.weight 1.95 GiB, ...": what takes most of a device's memory.
std::string Largest(const Plan& plan, int device) {
  constexpr size_t kNamed = 4;
  std::vector<std::pair<int64_t, std::string>> uses;
  for (const Register& reg : plan.registers()) {
    if (reg.device() != device || !(reg.persistent() || reg.credits() > 1)) {
      continue;
    }
    uses.emplace_back(reg.slot_stride_bytes() * reg.credits(), reg.name());
  }
  const Device& d = plan.devices(device);
  uses.emplace_back(d.arena_bytes() - d.persistent_bytes(),
                    "activations, gradients and workspaces");
  std::stable_sort(uses.begin(), uses.end(), [](const auto& a, const auto& b) {
    return a.first > b.first;
  });
  if (uses.size() > kNamed) uses.resize(kNamed);
  return absl::StrJoin(uses, ", ", [](std::string* out, const auto& use) {
    absl::StrAppend(out, use.second, " ", Size(use.first));
  });
}

absl::Status TooBig(const Plan& plan, int largest, int64_t total,
                    const std::string& available) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the model does not fit: device ", plan.devices(largest).name(),
      " needs ", Size(plan.devices(largest).arena_bytes()), " at its peak, ",
      plan.devices_size(), " device(s) together ", Size(total), "; there is ",
      available, ". Most of ", plan.devices(largest).name(), ": ",
      Largest(plan, largest),
      plan.has_recomputation()
          ? absl::StrCat(" (with ", plan.recomputation().tensors(),
                         " activations computed again",
                         plan.recomputation().logits() ? ", and logits" : "",
                         ")")
          : "",
      ". What helps: a smaller --batch_size, --fp16 (activations in half the "
      "bytes), fewer --classes, more --devices with memory of their own, or "
      "more memory"));
}

}  // namespace

absl::Status CheckMemory(const Plan& plan, const Cluster& cluster) {
  int64_t total = 0;
  int64_t host = 0;
  int host_largest = -1;
  for (const Device& device : plan.devices()) total += device.arena_bytes();
  for (int d = 0; d < plan.devices_size(); ++d) {
    const int64_t needed = plan.devices(d).arena_bytes();
    const int64_t own = cluster.devices[d].memory_bytes;
    if (own > 0) {
      if (needed <= own) continue;
      int largest = d;
      for (int e = d; e < plan.devices_size(); ++e) {
        if (plan.devices(e).arena_bytes() - cluster.devices[e].memory_bytes >
                plan.devices(largest).arena_bytes() -
                    cluster.devices[largest].memory_bytes &&
            cluster.devices[e].memory_bytes > 0) {
          largest = e;
        }
      }
      return TooBig(plan, largest, total,
                    absl::StrCat(Size(cluster.devices[largest].memory_bytes),
                                 " on that device"));
    }
    host += needed;
    if (host_largest < 0 || needed > plan.devices(host_largest).arena_bytes()) {
      host_largest = d;
    }
  }
  if (cluster.host_memory_bytes > 0 && host > cluster.host_memory_bytes) {
    return TooBig(plan, host_largest, total,
                  absl::StrCat(Size(cluster.host_memory_bytes),
                               " of host memory for all of them"));
  }
  return absl::OkStatus();
}

double BytesOver(const Plan& plan, const Cluster& cluster) {
  double most = -std::numeric_limits<double>::infinity();
  double host = 0;
  int on_host = 0;
  for (int d = 0; d < plan.devices_size(); ++d) {
    const double needed = static_cast<double>(plan.devices(d).arena_bytes());
    const int64_t own = cluster.devices[d].memory_bytes;
    if (own > 0) {
      most = std::max(most, needed - static_cast<double>(own));
    } else {
      host += needed;
      ++on_host;
    }
  }
  if (cluster.host_memory_bytes > 0 && on_host > 0) {
    host -= static_cast<double>(cluster.host_memory_bytes);
    most = std::max(most, host / on_host);
  }
  return most;
}

}  // namespace facet::placement
