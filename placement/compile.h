// Compile: from a model to a plan. The only place that knows the order of the
// passes (compile.cc, with the reason for each constraint).
#ifndef FACET_PLACEMENT_COMPILE_H_
#define FACET_PLACEMENT_COMPILE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ops/graph/attributes.h"
#include "ops/graph/graph.h"
#include "ops/graph/nd_sbp.h"
#include "placement/cluster.h"
#include "placement/passes/allow_rounding.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/assign_sbp.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

enum class Precision { kFloat32, kFloat16, kBFloat16 };

// Which activations are computed again in the backward pass, not kept for it,
// the head's logits among them.
enum class Recomputing {
  kNone,
  kAuto,  // None if the plan fits without; else what costs least.
  kAll,   // All that can be.
};
absl::string_view RecomputingName(Recomputing recomputing);  // "none", ...

// Which parameters that devices would have whole they share out, with the
// optimizer's state (passes/assign_sbp.h, Parameters).
enum class Splitting {
  kNone,
  kAuto,  // None if the plan fits without.
  kAll,   // All that can be.
};
absl::string_view SplittingName(Splitting splitting);  // "none", ...

// Plans that are only looked at state equal devices once if they are for more.
inline constexpr int kMostDevicesStated = 16;

struct CompileOptions {
  // The loss to train for; kNone: the graph is run as it is (inference).
  ops::TensorId loss = ops::kNone;
  OptimizerOptions optimizer;
  Precision precision = Precision::kFloat32;
  // First value of the dynamic loss scale (float16 only).
  double initial_loss_scale = 65536;
  // Products that stay float32, on devices that round factors.
  Rounding rounding = Rounding::kNone;
  bool fuse = true;
  // Tensor name -> SBP it must be produced in, along every axis of the mesh.
  std::map<std::string, ops::NdSbp> pins;
  // Kernels with these settings come before all others where there are several
  // for an op: {"algorithm", "direct"}.
  ops::Attributes preferred_kernels;
  Recomputing recomputing = Recomputing::kAuto;
  Splitting splitting = Splitting::kAuto;
  // Slots of the registers that the data stream fills: how far it works ahead.
  int data_credits = 2;
  // The tasks of equal devices are stated once (Device::like). Such a plan
  // cannot be run, but takes hardly longer to make for a thousand devices than
  // for few.
  bool state_equal_once = false;
  // If not empty: the graph after each pass that changed it is written to
  // "<dump_dir>/NN_pass.txt".
  std::string dump_dir;
};

// InvalidArgument for what the user asked and cannot be had (an impossible
// pin); ResourceExhausted if the plan needs more memory than there is: says
// how much it needs, how much is there, and what would help. The same input
// gives a byte-identical plan.
absl::StatusOr<Plan> Compile(const ops::Graph& graph, const Cluster& cluster,
                             const CompileOptions& options);

// A graph whose ops are decided, and the best SBPs for it.
struct PlacedModel {
  bool fused = false;
  // The head's logits are made again wherever they are needed (OpDef::
  // fuse_saves_memory).
  bool logits_again = false;
  SbpRules rules;    // That the search kept.
  ops::Graph graph;  // After fusing, before boxing.
  SbpAssignment assignment;
};

// The part of Compile that chooses, which does not take longer for more
// devices: with fused operators and without, the cheaper one first. At least
// one; memory is not looked at.
absl::StatusOr<std::vector<PlacedModel>> PlaceModel(
    const ops::Graph& graph, const Cluster& cluster,
    const CompileOptions& options);

// A plan, and what it was chosen from: for people who ask why.
struct Compilation {
  Plan plan;
  // The graph that was placed: after fusing, before boxing.
  ops::Graph graph;
  SbpAssignment assignment;  // Of `graph`.
  SbpRules rules;            // That the search kept.
};

// As Compile.
absl::StatusOr<Compilation> CompileWithReasons(const ops::Graph& graph,
                                               const Cluster& cluster,
                                               const CompileOptions& options);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_COMPILE_H_
