#include "ops/graph/sbp.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"

namespace facet::ops {

std::string Sbp::ToString() const {
  switch (kind) {
    case Kind::kSplit:
      return absl::StrCat("S(", static_cast<int>(axis), ")");
    case Kind::kBroadcast:
      return "B";
    case Kind::kPartialSum:
      return "P(sum)";
    case Kind::kPartialMax:
      return "P(max)";
  }
  LOG(FATAL) << "unknown Sbp kind " << static_cast<int>(kind);
  return "";
}

absl::StatusOr<Sbp> ParseSbp(absl::string_view text) {
  if (text == "B") return Sbp::B();
  if (text == "P(sum)") return Sbp::PSum();
  if (text == "P(max)") return Sbp::PMax();
  absl::string_view digits = text;
  int axis = 0;
  if (absl::ConsumePrefix(&digits, "S(") && absl::ConsumeSuffix(&digits, ")") &&
      absl::SimpleAtoi(digits, &axis) && axis >= 0 && axis < 6) {
    return Sbp::S(axis);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown SBP \"", text,
                   "\": use S(i) with i the dimension (S(0), S(1) ...), B, "
                   "P(sum) or P(max)"));
}

}  // namespace facet::ops
