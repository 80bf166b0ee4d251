#include "placement/passes/fuse.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/fusion.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"
#include "placement/passes/prune.h"

namespace facet::placement {
namespace {

// Runs one rule. True if it rewrote something.
absl::StatusOr<bool> RunRule(const ops::OpDef& def, ops::OpLookup lookup,
                             ops::Graph* graph) {
  ops::GraphBuilder builder(graph, lookup);
  ops::FusionContext context(&builder);
  if (absl::Status status = def.fuse(&context); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("fuse rule of ", def.name,
                                                    ": ", status.message()));
  }
  std::vector<bool> dropped(graph->nodes.size());
  bool changed = !context.log().empty();
  for (size_t n = 0; n < dropped.size(); ++n) {
    dropped[n] = context.dropped(static_cast<ops::NodeId>(n));
    changed = changed || dropped[n];
  }
  for (const std::string& line : context.log()) VLOG(1) << line;
  if (changed) {
    ASSIGN_OR_RETURN(*graph, Prune(*graph, dropped, {}, lookup));
  }
  return changed;
}

}  // namespace

absl::StatusOr<ops::Graph> Fuse(ops::Graph graph,
                                absl::Span<const ops::OpDef> ops,
                                FuseRules rules, ops::OpLookup lookup) {
  // Every rewrite should leave fewer patterns; one that undoes another would
  // go on for ever.
  const size_t most_rounds = graph.nodes.size() + 1;
  bool changed = true;
  for (size_t round = 0; changed; ++round) {
    if (round > most_rounds) {
      return absl::InternalError(absl::StrCat(
          "the fuse rules still rewrite after ", round, " rounds"));
    }
    changed = false;
    for (const ops::OpDef& def : ops) {
      if (def.fuse == nullptr) continue;
      if (rules == FuseRules::kKeepingSignatures &&
          !def.fuse_keeps_signatures) {
        continue;
      }
      if (rules != FuseRules::kSavingMemory && def.fuse_saves_memory) continue;
      ASSIGN_OR_RETURN(const bool rewrote, RunRule(def, lookup, &graph));
      changed = changed || rewrote;
    }
  }
  return graph;
}

bool SameOps(const ops::Graph& a, const ops::Graph& b) {
  if (a.nodes.size() != b.nodes.size()) return false;
  for (size_t n = 0; n < a.nodes.size(); ++n) {
    if (a.nodes[n].op != b.nodes[n].op) return false;
  }
  return true;
}

}  // namespace facet::placement
