// Fuse: runs the fuse rules of ops (OpDef::fuse), in the order of the op table,
// until nothing changes.
#ifndef FACET_PLACEMENT_PASSES_FUSE_H_
#define FACET_PLACEMENT_PASSES_FUSE_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ops/graph/graph.h"
#include "ops/op_def.h"

namespace facet::placement {

enum class FuseRules {
  kKeepingSignatures,  // OpDef::fuse_keeps_signatures
  kAll,                // But those of the next line.
  kSavingMemory,       // OpDef::fuse_saves_memory, too.
};

absl::StatusOr<ops::Graph> Fuse(ops::Graph graph,
                                absl::Span<const ops::OpDef> ops,
                                FuseRules rules, ops::OpLookup lookup);

// True if fusing made one graph of the other that changed nothing.
bool SameOps(const ops::Graph& a, const ops::Graph& b);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_FUSE_H_
