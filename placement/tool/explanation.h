// Explainer: why a tensor lies as it does: every SBP it could have, what the
// best plan with that one would cost, and what speaks against it.
#ifndef FACET_PLACEMENT_TOOL_EXPLANATION_H_
#define FACET_PLACEMENT_TOOL_EXPLANATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/tool/plan_source.h"

namespace facet::placement {

// One SBP of a tensor, and the best placement of everything else with it.
struct SbpChoice {
  std::string sbp;
  bool chosen = false;
  // False: there is no such placement; `why` says what forbids it, and the
  // costs are 0.
  bool possible = true;
  std::string why;
  // Of the whole step under the search's model, and as the sum of two.
  double seconds = 0;
  double compute_seconds = 0;
  double communication_seconds = 0;
  int64_t tensor_bytes = 0;  // Of this tensor, on the device with most of it.
  int64_t arena_bytes = 0;   // Of the plan: most of any device.
  double predicted_step_seconds = 0;  // Of the plan, with overlap.
};

struct TensorExplanation {
  std::string tensor, type, layer, part, phase;
  std::string node, op;            // That make it.
  std::string forced_by;           // The chosen one: "pin", "shape", "cost" ...
  std::vector<SbpChoice> choices;  // The chosen one first.
  std::vector<std::string> readers;   // "conv2 (conv2d) reads it as B"
  std::vector<std::string> movement;  // "all-gather S(0) -> B, 24.5 MiB ..."
};

// A signature of an operator: what it costs with its neighbours left as they
// are, and with everything else arranged for it.
struct SignatureChoice {
  std::string signature;  // "(S(0), B) -> (S(0))"
  bool chosen = false;
  double compute_seconds = 0;        // Of this node.
  double communication_seconds = 0;  // On its edges; infinity: impossible.
  // Of the whole step, with the best of everything else under the search's
  // rules; infinity: there is none, NaN: not known.
  double step_seconds = 0;
  std::string why;  // It was not chosen; "" if it was.
};

class Explainer {
 public:
  // `compiled` must outlive this.
  explicit Explainer(const Compiled& compiled);

  // kNone if there is no tensor or node of this name.
  ops::TensorId FindTensor(const std::string& name) const;
  ops::NodeId FindNode(const std::string& name) const;
  // What the user may have meant.
  std::string Suggestion(const std::string& name) const;

  // Compiles once per SBP that the tensor could have.
  absl::StatusOr<TensorExplanation> Explain(ops::TensorId tensor) const;
  std::vector<SignatureChoice> Signatures(ops::NodeId node) const;

 private:
  struct Solution;
  Solution Solve(const std::map<std::string, ops::NdSbp>& pins) const;
  SbpChoice Describe(const Solution& solution, const std::string& tensor) const;
  std::string WhyRejected(const SbpChoice& choice, const SbpChoice& chosen,
                          const Solution& solution,
                          const std::string& tensor) const;
  std::string WhyNot(const SignatureChoice& choice,
                     const SignatureChoice& chosen, ops::NodeId node) const;
  void AddImpossible(ops::TensorId tensor,
                     TensorExplanation* explanation) const;

  const Compiled& compiled_;
  const ops::Graph& graph_;  // That was placed.
  const SbpAssignment& assignment_;
  std::vector<std::vector<ops::NodeId>> readers_;  // By tensor.
  // By node, by option; empty: not known.
  std::vector<std::vector<double>> step_seconds_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_EXPLANATION_H_
