#include "placement/tool/plan_diff.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "placement/tool/fold.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

using Texts = std::vector<std::pair<std::string, std::string>>;

// The entries that differ, in the order of `before`, then the new ones.
std::vector<ChangedTensor> Differences(const Texts& before,
                                       const Texts& after) {
  const std::map<std::string, std::string> then(before.begin(), before.end());
  const std::map<std::string, std::string> now(after.begin(), after.end());
  std::vector<ChangedTensor> changes;
  for (const auto& [name, text] : before) {
    const auto it = now.find(name);
    if (it == now.end()) {
      changes.push_back({name, text, ""});
    } else if (it->second != text) {
      changes.push_back({name, text, it->second});
    }
  }
  for (const auto& [name, text] : after) {
    if (then.count(name) == 0) changes.push_back({name, "", text});
  }
  return changes;
}

Texts TensorTexts(const Plan& plan) {
  Texts texts;
  for (const LogicalTensor& tensor : plan.tensors()) {
    texts.emplace_back(tensor.name(),
                       absl::StrCat(TypeText(tensor), " ", SbpText(tensor)));
  }
  return texts;
}

Texts OptionTexts(const Plan& plan) {
  Texts texts;
  std::map<std::string, size_t> index;
  for (const Option& option : plan.options()) {
    const auto [it, is_new] = index.emplace(option.name(), texts.size());
    if (is_new) {
      texts.emplace_back(option.name(), option.value());
    } else {
      absl::StrAppend(&texts[it->second].second, "; ", option.value());
    }
  }
  return texts;
}

std::vector<ChangedCollectives> CollectiveDifferences(const Plan& before,
                                                      const Plan& after) {
  std::map<std::string, ChangedCollectives> sums;
  auto add = [&](const Plan& plan, int64_t ChangedCollectives::*count,
                 int64_t ChangedCollectives::*bytes) {
    for (const CollectiveFacts& c : FindCollectives(plan)) {
      const Task& task = plan.tasks(c.task);
      const std::string what = absl::StrCat(c.kind, " ", c.transition, ", ",
                                            task.part(), ", ", task.phase());
      ChangedCollectives& sum = sums[what];
      sum.what = what;
      ++(sum.*count);
      sum.*bytes += c.bytes;
    }
  };
  add(before, &ChangedCollectives::count_before,
      &ChangedCollectives::bytes_before);
  add(after, &ChangedCollectives::count_after,
      &ChangedCollectives::bytes_after);
  std::vector<ChangedCollectives> changes;
  for (const auto& [what, sum] : sums) {
    if (sum.count_before != sum.count_after ||
        sum.bytes_before != sum.bytes_after) {
      changes.push_back(sum);
    }
  }
  return changes;
}

std::string NumberText(const ChangedNumber& number, double value) {
  if (number.is_bytes) return BytesText(value);
  if (number.is_seconds) return SecondsText(value);
  return absl::StrCat(value);
}

std::string PercentText(double before, double after) {
  if (before == 0) return "";
  return absl::StrFormat("%+.2f%%", (after / before - 1) * 100);
}

// Tensors of repeated blocks that changed alike, as one row.
std::string TensorTable(const std::vector<ChangedTensor>& tensors, bool unfold,
                        int width) {
  std::vector<FoldRow> rows;
  for (const ChangedTensor& t : tensors) {
    rows.push_back({t.name, absl::StrCat(t.before, "|", t.after)});
  }
  std::vector<FoldedBlock> blocks;
  if (unfold) {
    for (size_t i = 0; i < rows.size(); ++i) {
      blocks.push_back({static_cast<int>(i), 1, 1, -1, -1});
    }
  } else {
    blocks = Fold(rows);
  }
  TextTable table({{"tensor", false, true},
                   {""},
                   {"before", false, true},
                   {"after", false, true}});
  for (const FoldedBlock& block : blocks) {
    for (int i = block.first; i < block.first + block.count; ++i) {
      const ChangedTensor& t = tensors[i];
      table.Add({FoldedName(t.name, block),
                 block.times > 1 ? absl::StrCat("x", block.times) : "",
                 t.before.empty() ? "-" : t.before,
                 t.after.empty() ? "-" : t.after});
    }
  }
  return table.ToString(width);
}

}  // namespace

PlanDifference ComparePlans(const Plan& before, const Plan& after) {
  PlanDifference difference;
  auto number = [&](std::string name, double then, double now,
                    bool is_bytes = false, bool is_seconds = false) {
    if (then == now) return;
    difference.numbers.push_back(
        {std::move(name), then, now, is_bytes, is_seconds});
  };
  number("predicted step", before.predicted_step_seconds(),
         after.predicted_step_seconds(), false, true);
  number("modelled by the search", before.search_seconds(),
         after.search_seconds(), false, true);
  const PlanTotals then = FindTotals(before);
  const PlanTotals now = FindTotals(after);
  number("devices", before.devices_size(), after.devices_size());
  number("collectives", static_cast<double>(then.collectives),
         static_cast<double>(now.collectives));
  number("sent by a device", static_cast<double>(then.collective_bytes),
         static_cast<double>(now.collective_bytes), true);
  // Devices in a row whose memory changes alike come once.
  const int shared = std::min(before.devices_size(), after.devices_size());
  for (int d = 0; d < shared;) {
    const Device& a = before.devices(d);
    const Device& b = after.devices(d);
    int end = d + 1;
    while (end < shared &&
           before.devices(end).arena_bytes() == a.arena_bytes() &&
           after.devices(end).arena_bytes() == b.arena_bytes() &&
           before.devices(end).persistent_bytes() == a.persistent_bytes() &&
           after.devices(end).persistent_bytes() == b.persistent_bytes()) {
      ++end;
    }
    const std::string name =
        end - d > 1
            ? absl::StrCat(b.name(), " ... ", after.devices(end - 1).name())
            : b.name();
    number(absl::StrCat("arena of ", name),
           static_cast<double>(a.arena_bytes()),
           static_cast<double>(b.arena_bytes()), true);
    number(absl::StrCat("persistent on ", name),
           static_cast<double>(a.persistent_bytes()),
           static_cast<double>(b.persistent_bytes()), true);
    d = end;
  }
  difference.options = Differences(OptionTexts(before), OptionTexts(after));
  difference.tensors = Differences(TensorTexts(before), TensorTexts(after));
  difference.collectives = CollectiveDifferences(before, after);
  return difference;
}

std::string DifferenceText(const PlanDifference& difference, bool unfold,
                           int width) {
  if (difference.empty()) return "the plans do not differ\n";
  std::string text;
  auto add = [&](const std::string& table) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", table);
  };
  if (!difference.numbers.empty()) {
    TextTable table({{"what", false, true},
                     {"before", true},
                     {"after", true},
                     {"change", true}});
    for (const ChangedNumber& n : difference.numbers) {
      table.Add({n.name, NumberText(n, n.before), NumberText(n, n.after),
                 PercentText(n.before, n.after)});
    }
    add(table.ToString(width));
  }
  if (!difference.options.empty()) {
    TextTable table({{"made with", false, true},
                     {"before", false, true},
                     {"after", false, true}});
    for (const ChangedTensor& o : difference.options) {
      table.Add({o.name, o.before.empty() ? "-" : o.before,
                 o.after.empty() ? "-" : o.after});
    }
    add(table.ToString(width));
  }
  if (!difference.collectives.empty()) {
    TextTable table({{"collectives", false, true},
                     {"count", true},
                     {"bytes a device", true},
                     {"change", true}});
    for (const ChangedCollectives& c : difference.collectives) {
      const double before = static_cast<double>(c.bytes_before);
      const double after = static_cast<double>(c.bytes_after);
      table.Add({c.what, absl::StrCat(c.count_before, " -> ", c.count_after),
                 absl::StrCat(BytesText(before), " -> ", BytesText(after)),
                 PercentText(before, after)});
    }
    add(table.ToString(width));
  }
  if (!difference.tensors.empty()) {
    add(TensorTable(difference.tensors, unfold, width));
  }
  return text;
}

std::string DifferenceJson(const PlanDifference& difference) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["equal"] = difference.empty();
  json["numbers"] = Json::array();
  for (const ChangedNumber& n : difference.numbers) {
    json["numbers"].push_back(
        {{"name", n.name}, {"before", n.before}, {"after", n.after}});
  }
  auto texts = [](const std::vector<ChangedTensor>& changes) {
    Json list = Json::array();
    for (const ChangedTensor& c : changes) {
      list.push_back(
          {{"name", c.name}, {"before", c.before}, {"after", c.after}});
    }
    return list;
  };
  json["options"] = texts(difference.options);
  json["tensors"] = texts(difference.tensors);
  json["collectives"] = Json::array();
  for (const ChangedCollectives& c : difference.collectives) {
    json["collectives"].push_back({{"what", c.what},
                                   {"count_before", c.count_before},
                                   {"count_after", c.count_after},
                                   {"bytes_before", c.bytes_before},
                                   {"bytes_after", c.bytes_after}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace facet::placement
