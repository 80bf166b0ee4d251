// FusionContext: what an op's fuse rule works with: it looks for a pattern of
// other ops around one anchor node and replaces it by fused ops. The pass that
// calls the rules is placement/passes/fuse.
#ifndef FACET_OPS_FUSION_H_
#define FACET_OPS_FUSION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ops/graph_builder.h"
#include "ops/status_macros.h"

namespace facet::ops {

// The rule sees a finished graph and may add nodes (they read any tensor that
// exists), redirect readers, and drop nodes. The pass then removes what nobody
// needs and sorts topologically.
class FusionContext {
 public:
  explicit FusionContext(GraphBuilder* builder);

  const Graph& graph() const { return builder_->graph(); }
  // Nodes that read the tensor now, in their order; updated by Add, Redirect
  // and Drop.
  std::vector<NodeId> Consumers(TensorId tensor) const;
  // True for a node that Drop removed.
  bool dropped(NodeId node) const;

  // The loop of a rule: rewrite(pattern) for every node around which
  // match(node) finds a pattern (an optional). Nodes that rewrites add are no
  // anchors, those that they drop none any more.
  template <typename Match, typename Rewrite>
  absl::Status RewriteAll(const Match& match, const Rewrite& rewrite) {
    const auto num_nodes = static_cast<NodeId>(graph().nodes.size());
    for (NodeId node = 0; node < num_nodes; ++node) {
      if (dropped(node)) continue;
      const auto pattern = match(node);
      if (pattern.has_value()) RETURN_IF_ERROR(rewrite(*pattern));
    }
    return absl::OkStatus();
  }

  // Adds a node with the origin of `like`, named "<like>/<op>".
  absl::StatusOr<std::vector<TensorId>> Add(absl::string_view op,
                                            absl::Span<const TensorId> inputs,
                                            Attributes attributes, NodeId like);
  // All readers of `from` read `to` (same type) from now on, and `to` gets its
  // name, by which people know it.
  void Redirect(TensorId from, TensorId to);
  // The node is gone; nobody may read its outputs any more when the rule ends.
  void Drop(NodeId node);

  // One line per rewrite, for the dump: what became what.
  void Log(std::string line) { log_.push_back(std::move(line)); }
  const std::vector<std::string>& log() const { return log_; }

 private:
  void AddReader(NodeId node);

  GraphBuilder* builder_;
  std::vector<bool> dropped_;
  std::vector<std::vector<NodeId>>
      readers_;  // By tensor; each once, or dropped.
  std::vector<std::string> log_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_FUSION_H_
