#include "placement/tool/plan_listing.h"

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "placement/plan/memory_kinds.h"
#include "placement/plan/plan_text.h"
#include "placement/tool/command_line.h"
#include "placement/tool/fold.h"
#include "placement/tool/plan_facts.h"
#include "placement/tool/text_table.h"

namespace facet::placement {
namespace {

std::string Head(const Plan& plan, const ListingOptions& options) {
  const PlanTotals totals = FindTotals(plan);
  const Device& first = plan.devices(0);
  std::string text = absl::StrCat(
      plan.name().empty() ? "plan" : plan.name(), ": ", plan.devices_size(),
      " x ", HardwareText(plan),
      first.cores() > 0 ? absl::StrCat(" of ", first.cores(), " cores") : "",
      ", predicted ", SecondsText(plan.predicted_step_seconds()), " a step\n");
  std::vector<std::string> facts;
  if (options.compile_seconds.has_value()) {
    facts.push_back(
        absl::StrCat("compiled in ", SecondsText(*options.compile_seconds)));
  }
  if (totals.optimality_gap >= 0) {
    facts.push_back(
        absl::StrFormat("search: %s modelled, at least %s: gap %.2g%%",
                        SecondsText(plan.search_seconds()),
                        SecondsText(plan.search_lower_bound_seconds()),
                        totals.optimality_gap * 100));
  }
  facts.push_back(absl::StrFormat("arena over its lower bound %.4f",
                                  totals.arena_over_lower_bound));
  if (plan.has_recomputation()) {
    facts.push_back(absl::StrCat("made again for the backward pass: ",
                                 MadeAgainText(plan.recomputation())));
  }
  absl::StrAppend(&text, Wrap(absl::StrJoin(facts, "; "), options.width, 2),
                  "\n");
  std::vector<std::string> made_with;
  for (const Option& option : plan.options()) {
    made_with.push_back(absl::StrCat(option.name(), "=", option.value()));
  }
  if (!made_with.empty()) {
    absl::StrAppend(
        &text,
        Wrap(absl::StrCat("made with ", absl::StrJoin(made_with, ", ")),
             options.width, 2),
        "\n");
  }
  return text;
}

// "0.6 MiB all-reduce P(sum) -> B x2, optimizer; ..."
std::string CollectivesCell(const Plan& plan, const LayerFacts& layer) {
  struct Sum {
    int64_t count = 0, bytes = 0;
  };
  std::vector<std::string> order;
  std::map<std::string, Sum> sums;
  for (const CollectiveFacts& c : layer.collectives) {
    const std::string key = absl::StrCat(c.kind, " ", c.transition, ", ",
                                         plan.tasks(c.task).phase());
    if (sums.count(key) == 0) order.push_back(key);
    ++sums[key].count;
    sums[key].bytes += c.bytes;
  }
  std::vector<std::string> texts;
  for (const std::string& key : order) {
    const Sum& sum = sums[key];
    texts.push_back(
        absl::StrCat(BytesText(static_cast<double>(sum.bytes)), " ",
                     sum.count > 1 ? absl::StrCat(sum.count, " x ") : "", key));
  }
  return absl::StrJoin(texts, "; ");
}

// Without the parts of one that comes too: "batch_norm_statistics batch_norm"
// is a batch_norm.
std::string OpsCell(const LayerFacts& layer) {
  std::vector<std::string> ops;
  for (const std::string& op : layer.ops) {
    bool is_part = false;
    for (const std::string& other : layer.ops) {
      is_part = is_part || absl::StartsWith(op, other + "_");
    }
    if (!is_part) ops.push_back(op);
  }
  return absl::StrJoin(ops, " ");
}

std::string LayerTable(const Plan& plan, const ListingOptions& options) {
  const std::vector<LayerFacts> layers = FindLayers(plan);
  std::vector<std::vector<std::string>> cells;
  std::vector<FoldRow> rows;
  for (const LayerFacts& layer : layers) {
    std::string activation, sbp;
    if (layer.output >= 0) {
      const LogicalTensor& tensor = plan.tensors(layer.output);
      activation = absl::StrCat("[", absl::StrJoin(layer.share, ","), "]");
      sbp = SbpText(tensor);
    }
    cells.push_back({layer.layer, OpsCell(layer), activation, sbp,
                     absl::StrJoin(layer.parameter_sbp, " "),
                     layer.parameter_bytes + layer.state_bytes > 0
                         ? BytesText(static_cast<double>(layer.parameter_bytes +
                                                         layer.state_bytes))
                         : "",
                     CollectivesCell(plan, layer)});
    rows.push_back({layer.layer, absl::StrJoin(cells.back().begin() + 1,
                                               cells.back().end(), "|")});
  }
  std::vector<FoldedBlock> blocks;
  if (options.unfold) {
    for (size_t i = 0; i < rows.size(); ++i) {
      blocks.push_back({static_cast<int>(i), 1, 1, -1, -1});
    }
  } else {
    blocks = Fold(rows);
  }
  TextTable table({{.title = "layer", .name = true},
                   {""},
                   {"ops", false, true},
                   {"on a device", false, true},
                   {"sbp"},
                   {"params"},
                   {"+ state", true},
                   {"collectives, bytes a device", false, true}});
  for (const FoldedBlock& block : blocks) {
    for (int i = block.first; i < block.first + block.count; ++i) {
      std::vector<std::string> row = cells[i];
      row[0] = FoldedName(row[0], block);
      row.insert(row.begin() + 1, block.times > 1 && i == block.first
                                      ? absl::StrCat("x", block.times)
                                      : "");
      table.Add(std::move(row));
    }
  }
  return table.ToString(options.width);
}

std::string CollectiveTable(const Plan& plan, int width) {
  struct Sum {
    int64_t count = 0, bytes = 0;
    double seconds = 0;
  };
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, Sum> sums;
  Sum total;
  for (const CollectiveFacts& c : FindCollectives(plan)) {
    const Task& task = plan.tasks(c.task);
    Sum& row = sums[{c.transition, c.kind, task.part(), task.phase()}];
    for (Sum* sum : {&row, &total}) {
      ++sum->count;
      sum->bytes += c.bytes;
      sum->seconds += c.seconds;
    }
  }
  if (sums.empty()) return "collectives: none\n";
  TextTable table({{"collectives", false, true},
                   {"kind", false, true},
                   {"part", false, true},
                   {"phase"},
                   {"count", true},
                   {"bytes a device", true},
                   {"predicted", true}});
  auto add = [&](const Key& key, const Sum& sum) {
    table.Add({std::get<0>(key), std::get<1>(key), std::get<2>(key),
               std::get<3>(key), absl::StrCat(sum.count),
               BytesText(static_cast<double>(sum.bytes)),
               SecondsText(sum.seconds)});
  };
  for (const auto& [key, sum] : sums) add(key, sum);
  add({"all", "", "", ""}, total);
  return table.ToString(width);
}

std::string MemoryTable(const Plan& plan, int width) {
  TextTable table({{"memory", false, true},
                   {"persistent", true},
                   {"step", true},
                   {"arena", true},
                   {"least", true},
                   {"arena/least", true}});
  for (const MemoryKind& kind : MemoryKinds(plan)) {
    const Device& device = plan.devices(kind.device);
    const double arena = static_cast<double>(device.arena_bytes());
    const double persistent = static_cast<double>(device.persistent_bytes());
    const double live = static_cast<double>(device.live_bytes());
    table.Add({kind.name, BytesText(persistent), BytesText(arena - persistent),
               BytesText(arena), BytesText(live),
               live > 0 ? absl::StrFormat("%.4f", arena / live) : "-"});
  }
  return table.ToString(width);
}

}  // namespace

std::string PlanListing(const Plan& plan, const ListingOptions& options) {
  return absl::StrCat(Head(plan, options), "\n", LayerTable(plan, options),
                      "\n", CollectiveTable(plan, options.width), "\n",
                      MemoryTable(plan, options.width));
}

}  // namespace facet::placement
