// Fold: blocks of a network that are repeated ("layer3.1" ... "layer3.13") are
// found by the numbers in their layers' names, and listed once.
#ifndef FACET_PLACEMENT_TOOL_FOLD_H_
#define FACET_PLACEMENT_TOOL_FOLD_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace facet::placement {

// "layer3.12.bn1" -> {"layer3", 12, "bn1"}: at the first part that is a number.
// Without one: {name, -1, ""}.
struct BlockName {
  std::string prefix;
  int index = -1;
  std::string rest;
};
BlockName ParseBlockName(absl::string_view layer);

// A row of a listing: the layer it belongs to, and all that is said of it.
struct FoldRow {
  std::string layer;
  std::string content;
};

// Rows [first, first + count) stand for `times` blocks, that many rows each, of
// which the last has the number `last_index`. times == 1: not folded.
struct FoldedBlock {
  int first = 0;
  int count = 0;
  int times = 1;
  int first_index = -1;
  int last_index = -1;
};

// Blocks are rows that follow each other with the same prefix and number; those
// that follow each other and are equal but for the number are folded. Every row
// is in exactly one block or in one that a block stands for.
std::vector<FoldedBlock> Fold(absl::Span<const FoldRow> rows);

// "layer3.1-13.bn1": the layer's name in a folded listing.
std::string FoldedName(const std::string& layer, const FoldedBlock& block);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_FOLD_H_
