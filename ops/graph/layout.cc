#include "ops/graph/layout.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {

absl::string_view LayoutName(Layout layout) {
  switch (layout) {
    case Layout::kRowMajor:
      return "nchw";
    case Layout::kChannelsLast:
      return "nhwc";
    case Layout::kBlocked8:
      return "nChw8c";
    case Layout::kBlocked16:
      return "nChw16c";
  }
  LOG(FATAL) << "unknown Layout " << static_cast<int>(layout);
  return "";
}

absl::StatusOr<Layout> ParseLayout(absl::string_view name) {
  for (Layout layout : {Layout::kRowMajor, Layout::kChannelsLast,
                        Layout::kBlocked8, Layout::kBlocked16}) {
    if (name == LayoutName(layout)) return layout;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown layout \"", name, "\": use nchw, nhwc, nChw8c or nChw16c"));
}

int64_t ChannelBlock(Layout layout) {
  switch (layout) {
    case Layout::kBlocked8:
      return 8;
    case Layout::kBlocked16:
      return 16;
    case Layout::kRowMajor:
    case Layout::kChannelsLast:
      return 1;
  }
  LOG(FATAL) << "unknown Layout " << static_cast<int>(layout);
  return 1;
}

}  // namespace facet::ops
