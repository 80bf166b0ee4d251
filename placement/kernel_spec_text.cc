#include "placement/kernel_spec_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

void AppendSlice(const ops::TensorSlice& slice, std::string* text) {
  absl::StrAppend(text, " ", ops::DataTypeName(slice.dtype), " ",
                  ops::LayoutName(slice.layout), " ", slice.shape.ToString());
  const auto& offset = slice.offset.dims();
  const bool whole = slice.shape == slice.global_shape &&
                     std::all_of(offset.begin(), offset.end(),
                                 [](int64_t o) { return o == 0; });
  if (whole) return;
  absl::StrAppend(text, " of ", slice.global_shape.ToString(), " at ",
                  slice.offset.ToString());
}

}  // namespace

std::string KernelSpecText(absl::string_view op, const ops::KernelSpec& spec) {
  std::string text = absl::StrCat(op, " ", spec.rank, "/", spec.num_ranks);
  for (const auto& [name, value] : spec.attributes.values()) {
    absl::StrAppend(&text, " ", name, "=", ops::AttributeToString(value));
  }
  for (const ops::TensorSlice& slice : spec.inputs) {
    AppendSlice(slice, &text);
    absl::StrAppend(&text, ";");
  }
  absl::StrAppend(&text, " ->");
  for (const ops::TensorSlice& slice : spec.outputs) {
    AppendSlice(slice, &text);
    absl::StrAppend(&text, ";");
  }
  return text;
}

}  // namespace facet::placement
