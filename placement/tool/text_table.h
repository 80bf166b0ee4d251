// TextTable: rows for a terminal of any width.
#ifndef FACET_PLACEMENT_TOOL_TEXT_TABLE_H_
#define FACET_PLACEMENT_TOOL_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace facet::placement {

struct TextColumn {
  std::string title;
  bool right = false;    // Numbers.
  bool elastic = false;  // Gives way where the terminal is narrow.
  bool name = false;     // Gives way last.
};

class TextTable {
 public:
  explicit TextTable(std::vector<TextColumn> columns)
      : columns_(std::move(columns)) {}

  // One cell per column.
  void Add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // With the titles; columns are as wide as their content. Where that is more
  // than `width`, the widest elastic columns are cut (".." at the end), then
  // the names, at the least to 8 characters.
  std::string ToString(int width) const;

 private:
  std::vector<TextColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// The terminal's: $COLUMNS, else what the terminal on the standard output says,
// else 100 (a file, a pipe).
int TerminalWidth();

// "12.3 MiB", "812 B".
std::string BytesText(double bytes);
// "1.234 s", "12.34 ms", "5.6 us".
std::string SecondsText(double seconds);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_TEXT_TABLE_H_
