// Sbp: how one tensor lies across the devices of one mesh axis: split,
// broadcast or partial (OneFlow, arXiv 2110.15032). Which values go where for a
// given device count: shard.h. What a transition costs and lowers to:
// placement/boxing.
#ifndef FACET_OPS_GRAPH_SBP_H_
#define FACET_OPS_GRAPH_SBP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::ops {

struct Sbp {
  enum class Kind : uint8_t {
    kSplit,       // S(i): device r holds range r of dimension i.
    kBroadcast,   // B: every device holds all of it.
    kPartialSum,  // P(sum): the value is the sum over the devices.
    kPartialMax,  // P(max): the value is the maximum over the devices.
  };
  Kind kind = Kind::kBroadcast;
  int8_t axis = 0;  // The dimension that is split; 0 unless kSplit.

  static constexpr Sbp S(int axis) {
    return {Kind::kSplit, static_cast<int8_t>(axis)};
  }
  static constexpr Sbp B() { return {Kind::kBroadcast, 0}; }
  static constexpr Sbp PSum() { return {Kind::kPartialSum, 0}; }
  static constexpr Sbp PMax() { return {Kind::kPartialMax, 0}; }

  bool is_split() const { return kind == Kind::kSplit; }
  bool is_broadcast() const { return kind == Kind::kBroadcast; }
  bool is_partial() const {
    return kind == Kind::kPartialSum || kind == Kind::kPartialMax;
  }

  std::string ToString() const;  // "S(0)", "B", "P(sum)", "P(max)".

  friend constexpr bool operator==(const Sbp& a, const Sbp& b) {
    return a.kind == b.kind && a.axis == b.axis;
  }
  friend constexpr bool operator!=(const Sbp& a, const Sbp& b) {
    return !(a == b);
  }
  friend constexpr bool operator<(const Sbp& a, const Sbp& b) {
    return a.kind != b.kind ? a.kind < b.kind : a.axis < b.axis;
  }
};

// The inverse of ToString; InvalidArgument names the value and the choices.
absl::StatusOr<Sbp> ParseSbp(absl::string_view text);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_SBP_H_
