#include "placement/tool/text_table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"

namespace facet::placement {
namespace {

constexpr int kGap = 2;
constexpr int kLeast = 8;

std::string Fit(const std::string& text, int width, bool right) {
  std::string cell = text;
  if (static_cast<int>(cell.size()) > width) {
    cell = cell.substr(0, width - 2) + "..";
  }
  const std::string space(width - cell.size(), ' ');
  return right ? space + cell : cell + space;
}

}  // namespace

void TextTable::Add(std::vector<std::string> cells) {
  CHECK_EQ(cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString(int width) const {
  std::vector<int> widths;
  int total = -kGap;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t widest = columns_[c].title.size();
    for (const auto& row : rows_) widest = std::max(widest, row[c].size());
    widths.push_back(static_cast<int>(widest));
    total += kGap + widths.back();
  }
  for (bool names : {false, true}) {
    while (total > width) {
      int widest = -1;
      for (size_t c = 0; c < columns_.size(); ++c) {
        const TextColumn& column = columns_[c];
        if (!(names ? column.name : column.elastic) || widths[c] <= kLeast) {
          continue;
        }
        if (widest < 0 || widths[c] > widths[widest]) {
          widest = static_cast<int>(c);
        }
      }
      if (widest < 0) break;
      --widths[widest];
      --total;
    }
  }
  std::string text;
  auto line = [&](const auto& cell) {
    std::string row;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (c > 0) row.append(kGap, ' ');
      row += Fit(cell(c), widths[c], columns_[c].right);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  };
  line([&](size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) line([&](size_t c) { return row[c]; });
  return text;
}

int TerminalWidth() {
  constexpr int kNoTerminal = 100, kNarrowest = 40;
  int columns = 0;
  if (const char* text = std::getenv("COLUMNS");
      text != nullptr && absl::SimpleAtoi(text, &columns) && columns > 0) {
    return std::max(kNarrowest, columns);
  }
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::max<int>(kNarrowest, size.ws_col);
  }
  return kNoTerminal;
}

std::string BytesText(double bytes) {
  const double size = std::abs(bytes);
  if (size >= 1 << 30) return absl::StrFormat("%.2f GiB", bytes / (1 << 30));
  if (size >= 1 << 20) return absl::StrFormat("%.1f MiB", bytes / (1 << 20));
  if (size >= 1 << 10) return absl::StrFormat("%.1f KiB", bytes / (1 << 10));
  return absl::StrFormat("%.0f B", bytes);
}

std::string SecondsText(double seconds) {
  const double time = std::abs(seconds);
  if (time >= 1) return absl::StrFormat("%.3f s", seconds);
  if (time >= 1e-3) return absl::StrFormat("%.3f ms", seconds * 1e3);
  return absl::StrFormat("%.1f us", seconds * 1e6);
}

}  // namespace facet::placement
