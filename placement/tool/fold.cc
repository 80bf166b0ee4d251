#include "placement/tool/fold.h"

#include <cctype>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace facet::placement {

BlockName ParseBlockName(absl::string_view layer) {
  const std::vector<std::string> parts = absl::StrSplit(layer, '.');
  for (size_t i = 1; i < parts.size(); ++i) {
    int index = 0;
    if (parts[i].empty() ||
        !std::isdigit(static_cast<unsigned char>(parts[i][0])) ||
        !absl::SimpleAtoi(parts[i], &index)) {
      continue;
    }
    return {absl::StrJoin(parts.begin(), parts.begin() + i, "."), index,
            absl::StrJoin(parts.begin() + i + 1, parts.end(), ".")};
  }
  return {std::string(layer), -1, ""};
}

std::vector<FoldedBlock> Fold(absl::Span<const FoldRow> rows) {
  std::vector<FoldedBlock> folded;
  std::string prefix, content;  // Of the block before.
  size_t at = 0;
  while (at < rows.size()) {
    const BlockName name = ParseBlockName(rows[at].layer);
    std::string this_content;
    size_t end = at;
    while (end < rows.size()) {
      const BlockName next = ParseBlockName(rows[end].layer);
      if (next.prefix != name.prefix || next.index != name.index) break;
      absl::StrAppend(&this_content, next.rest, "|", rows[end].content, "\n");
      ++end;
    }
    if (name.index >= 0 && !folded.empty() && name.prefix == prefix &&
        this_content == content) {
      ++folded.back().times;
      folded.back().last_index = name.index;
    } else {
      folded.push_back({static_cast<int>(at), static_cast<int>(end - at), 1,
                        name.index, name.index});
    }
    prefix = name.prefix;
    content = std::move(this_content);
    at = end;
  }
  return folded;
}

std::string FoldedName(const std::string& layer, const FoldedBlock& block) {
  if (block.times == 1) return layer;
  const BlockName name = ParseBlockName(layer);
  return absl::StrCat(name.prefix, ".", name.index, "-", block.last_index,
                      name.rest.empty() ? "" : ".", name.rest);
}

}  // namespace facet::placement
