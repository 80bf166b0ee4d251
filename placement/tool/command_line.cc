#include "placement/tool/command_line.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "placement/tool/flag_values.h"

namespace facet::placement {
namespace {

bool Contains(absl::Span<const std::string> list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Insertions, deletions and replacements that make one the other.
int EditDistance(const std::string& a, const std::string& b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SetFlags(
    absl::Span<const std::string> arguments,
    absl::Span<const std::string> allowed) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--") {
      rest.insert(rest.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      rest.push_back(arguments[i]);
      continue;
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      absl::ConsumePrefix(&argument, "-");
    }
    const size_t equals = argument.find('=');
    const bool has_value = equals != absl::string_view::npos;
    std::string name(argument.substr(0, equals));
    std::string value(has_value ? argument.substr(equals + 1) : "");
    if (!Contains(allowed, name)) {
      const std::string positive(absl::StripPrefix(name, "no"));
      gflags::CommandLineFlagInfo info;
      if (!has_value && positive != name && Contains(allowed, positive) &&
          gflags::GetCommandLineFlagInfo(positive.c_str(), &info) &&
          info.type == "bool") {
        gflags::SetCommandLineOption(positive.c_str(), "false");
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat("there is no flag --", name, " here; flags are --",
                       absl::StrJoin(allowed, ", --")));
    }
    gflags::CommandLineFlagInfo info;
    CHECK(gflags::GetCommandLineFlagInfo(name.c_str(), &info)) << name;
    if (!has_value) {
      if (info.type == "bool") {
        value = "true";
      } else if (i + 1 < arguments.size()) {
        value = arguments[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat(
            "--", name, " needs a value: --", name, "=", info.type));
      }
    }
    if (gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty()) {
      return InvalidFlag(name, value,
                         absl::StrCat("this is not of type ", info.type));
    }
  }
  return rest;
}

std::string Wrap(const std::string& text, int width, int indent) {
  std::string result;
  size_t column = 0;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column > 0 && column + 1 + word.size() > static_cast<size_t>(width)) {
      absl::StrAppend(&result, "\n", std::string(indent, ' '));
      column = indent;
    } else if (column > 0) {
      result += ' ';
      ++column;
    }
    absl::StrAppend(&result, word);
    column += word.size();
  }
  return result;
}

std::string FlagsHelp(absl::Span<const std::string> names, int width) {
  constexpr int kIndent = 20;
  std::string text;
  for (const std::string& name : names) {
    gflags::CommandLineFlagInfo info;
    CHECK(gflags::GetCommandLineFlagInfo(name.c_str(), &info)) << name;
    std::string line = absl::StrCat("  --", name);
    line.resize(std::max<size_t>(kIndent, line.size() + 1), ' ');
    std::string description = info.description;
    if (!info.default_value.empty()) {
      absl::StrAppend(&description, " (default: ", info.default_value, ")");
    }
    const std::string wrapped =
        Wrap(description, std::max(20, width - kIndent), 0);
    absl::StrAppend(&text, line,
                    absl::StrJoin(absl::StrSplit(wrapped, '\n'),
                                  "\n" + std::string(kIndent, ' ')),
                    "\n");
  }
  return text;
}

std::vector<std::string> Similar(const std::string& word,
                                 absl::Span<const std::string> known,
                                 int count) {
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& candidate : known) {
    int distance = EditDistance(word, candidate);
    // Part of a name is a good guess, however long the name is.
    if (!word.empty() && absl::StrContains(candidate, word)) {
      distance = std::min(distance, 1);
    }
    if (distance <= static_cast<int>(word.size() / 3 + 1)) {
      ranked.emplace_back(distance, candidate);
    }
  }
  std::stable_sort(
      ranked.begin(), ranked.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> similar;
  for (const auto& [distance, candidate] : ranked) {
    if (static_cast<int>(similar.size()) == count) break;
    if (!Contains(similar, candidate)) similar.push_back(candidate);
  }
  return similar;
}

}  // namespace facet::placement
