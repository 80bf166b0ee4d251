#include "placement/passes/append_optimizer.h"

#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ops/graph_builder.h"
#include "ops/sgd_update_rows/row_state_operands.h"
#include "ops/status_macros.h"
#include "placement/passes/prune.h"

namespace facet::placement {
namespace {

using ops::kNone;
using ops::TensorId;

// Adds nodes with one output, and keeps the first error (GraphBuilder::Add1).
class OptimizerBuilder {
 public:
  OptimizerBuilder(DifferentiatedGraph graph, const OptimizerOptions& options,
                   ops::OpLookup lookup)
      : differentiated_(std::move(graph)),
        options_(options),
        lookup_(lookup),
        builder_(&differentiated_.graph, lookup) {}

  absl::StatusOr<ops::Graph> Build();

 private:
  bool scaled() const { return differentiated_.loss_scale != kNone; }
  const ops::Node& VariableNode(TensorId variable) const {
    const ops::Graph& graph = differentiated_.graph;
    return graph.nodes[graph.tensors[variable].producer];
  }
  // New nodes belong to the optimizer step of this layer and part.
  void Enter(const std::string& layer, const std::string& part) {
    ops::Origin origin;
    origin.layer = layer;
    origin.part = part;
    origin.phase = ops::Phase::kOptimizer;
    origin.every = every_;
    builder_.set_origin(std::move(origin));
  }
  // Of the layer and part that were entered.
  TensorId Variable(const std::string& name, ops::Attributes attributes) {
    const ops::Origin entered = builder_.origin();
    ops::Origin origin = entered;
    origin.every = 1;  // It is there in every step.
    builder_.set_origin(std::move(origin));
    attributes.Set("trainable", false);
    const TensorId variable =
        builder_.Add1("variable", name, {}, std::move(attributes));
    builder_.set_origin(entered);
    return variable;
  }
  absl::Status CheckOptions() const;
  bool accumulates() const { return options_.accumulate > 1; }
  // Whether the sum of the steps' gradients must be known before the update.
  bool NeedsSum(TensorId variable) const {
    return scaled() || VariableNode(variable).attributes.Bool("clip");
  }
  // Every gradient that has to becomes the mean over the steps.
  void AccumulateGradients();
  // The squared norm of all gradients whose variables are clipped, or are not.
  TensorId SquareNorm(bool clipped);
  void Update(TensorId variable, TensorId gradient);
  bool lazy(TensorId variable) const {
    return options_.row_update == "dense" &&
           differentiated_.rows.count(variable) > 0;
  }
  // The state of a variable's lazily updated rows besides momentum; its reader
  // gets it, too.
  std::vector<TensorId> RowState(TensorId variable, TensorId momentum);
  // decay_history: one for all variables, as they take the same steps.
  TensorId History();
  void UpdateHistory();

  DifferentiatedGraph differentiated_;
  const OptimizerOptions& options_;
  const ops::OpLookup lookup_;
  ops::GraphBuilder builder_;
  int every_ = 1;  // Of new nodes: Origin::every.
  TensorId learning_rate_ = kNone;
  TensorId clipped_scale_ = kNone;    // Factor of clipped gradients.
  TensorId unclipped_scale_ = kNone;  // Factor of the others.
  TensorId skip_ = kNone;
  TensorId history_ = kNone;
};

TensorId OptimizerBuilder::History() {
  if (history_ != kNone) return history_;
  Enter("optimizer", "optimizer");
  history_ =
      Variable("decay_history",
               {{"shape", std::vector<int64_t>{4, ops::kDecayHistorySteps}}});
  return history_;
}

void OptimizerBuilder::UpdateHistory() {
  if (history_ == kNone) return;
  Enter("optimizer", "optimizer");
  std::vector<TensorId> inputs = {history_, learning_rate_};
  if (skip_ != kNone) inputs.push_back(skip_);
  builder_.Add1("decay_history_update", "decay_history_update", inputs,
                {{"momentum", options_.momentum},
                 {"weight_decay", options_.weight_decay}});
}

std::vector<TensorId> OptimizerBuilder::RowState(TensorId variable,
                                                 TensorId momentum) {
  const TensorId history = History();
  const ops::Node node = VariableNode(variable);
  Enter(node.origin.layer, node.origin.part);
  const TensorId updated = Variable(
      absl::StrCat(node.name, ".updated"),
      {{"shape", std::vector<int64_t>{builder_.type(variable).shape[0]}},
       {"dtype", std::string("int32")}});
  const VariableRows& rows = differentiated_.rows.at(variable);
  ops::Node& reader = differentiated_.graph.nodes[rows.reader];
  reader.op = rows.lazy_op;
  for (TensorId input : {momentum, updated, history}) {
    reader.inputs.push_back(input);
  }
  return {updated, history};
}

void OptimizerBuilder::AccumulateGradients() {
  const ops::Attributes attributes = {{"steps", options_.accumulate}};
  for (auto& [variable, gradient] : differentiated_.gradients) {
    if (!NeedsSum(variable)) continue;
    const ops::Node node = VariableNode(variable);
    const ops::TensorType type = builder_.type(gradient);
    every_ = 1;
    Enter(node.origin.layer, node.origin.part);
    const TensorId sum =
        Variable(absl::StrCat(node.name, ".accumulated"),
                 {{"shape", std::vector<int64_t>(type.shape.dims().begin(),
                                                 type.shape.dims().end())},
                  {"may_be_partial", true}});
    builder_.Add1("accumulate_gradient",
                  absl::StrCat(node.name, "/accumulate_gradient"),
                  {sum, gradient}, attributes);
    every_ = static_cast<int>(options_.accumulate);
    Enter(node.origin.layer, node.origin.part);
    gradient = builder_.Add1("mean_gradient",
                             absl::StrCat(node.name, "/mean_gradient"),
                             {sum, gradient}, attributes);
  }
  every_ = 1;
}

TensorId OptimizerBuilder::SquareNorm(bool clipped) {
  std::vector<TensorId> norms;
  for (const auto& [variable, gradient] : differentiated_.gradients) {
    const ops::Node node = VariableNode(variable);
    if (node.attributes.Bool("clip") != clipped) continue;
    Enter(node.origin.layer, node.origin.part);
    norms.push_back(builder_.Add1(
        "square_norm", absl::StrCat(node.name, "/square_norm"), {gradient}));
  }
  Enter("optimizer", "optimizer");
  if (norms.size() <= 1) return norms.empty() ? kNone : norms[0];
  return builder_.Add1(
      "add_n", clipped ? "clipped_square_norm" : "other_square_norm", norms);
}

void OptimizerBuilder::Update(TensorId variable, TensorId gradient) {
  const ops::Node node = VariableNode(variable);
  const bool gathers = accumulates() && !NeedsSum(variable);
  every_ = gathers ? 1 : static_cast<int>(options_.accumulate);
  Enter(node.origin.layer, node.origin.part);
  const ops::TensorType type = builder_.type(variable);
  const std::string& momentum_type = node.attributes.String("momentum_dtype");
  const TensorId momentum =
      Variable(absl::StrCat(node.name, ".momentum"),
               {{"shape", std::vector<int64_t>(type.shape.dims().begin(),
                                               type.shape.dims().end())},
                {"dtype", momentum_type}});
  std::string op = "sgd_update";
  std::vector<TensorId> inputs = {variable, momentum};
  if (auto rows = differentiated_.rows.find(variable);
      rows != differentiated_.rows.end()) {
    op = lazy(variable) ? "sgd_update_rows_lazily" : "sgd_update_rows";
    if (lazy(variable)) {
      for (TensorId state : RowState(variable, momentum)) {
        inputs.push_back(state);
      }
      Enter(node.origin.layer, node.origin.part);
    }
    inputs.push_back(rows->second.rows);
  }
  inputs.push_back(gradient);
  inputs.push_back(learning_rate_);
  const TensorId scale =
      node.attributes.Bool("clip") ? clipped_scale_ : unclipped_scale_;
  if (scale != kNone) inputs.push_back(scale);
  if (skip_ != kNone) inputs.push_back(skip_);
  ops::Attributes attributes = {{"momentum", options_.momentum},
                                {"weight_decay", options_.weight_decay}};
  if (gathers) attributes.Set("accumulate", options_.accumulate);
  if (ops::IsHalf(type.dtype) || momentum_type != "float32") {
    attributes.Set("key", node.attributes.Int("key"));
  }
  builder_.Add1(op, absl::StrCat(node.name, "/", op), inputs,
                std::move(attributes));
}

absl::Status OptimizerBuilder::CheckOptions() const {
  if (options_.row_update != "sampled" && options_.row_update != "dense") {
    return absl::InvalidArgumentError(
        absl::StrCat("row_update is \"", options_.row_update,
                     "\"; use \"sampled\" or \"dense\""));
  }
  if (options_.accumulate < 1 || options_.accumulate > kMostAccumulated) {
    return absl::InvalidArgumentError(
        absl::StrCat("accumulate is ", options_.accumulate, "; use 1 to ",
                     kMostAccumulated));
  }
  if (accumulates() && !differentiated_.rows.empty()) {
    const TensorId variable = differentiated_.rows.begin()->first;
    return absl::InvalidArgumentError(absl::StrCat(
        "accumulate is ", options_.accumulate, ", but of ",
        VariableNode(variable).name,
        " each step updates other rows (Partial FC): their gradients cannot be "
        "gathered; use accumulate 1, or all classes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ops::Graph> OptimizerBuilder::Build() {
  RETURN_IF_ERROR(CheckOptions());
  Enter("optimizer", "optimizer");
  learning_rate_ = builder_.Add1("learning_rate", "learning_rate", {},
                                 {{"base", options_.learning_rate},
                                  {"warmup_steps", options_.warmup_steps},
                                  {"warmup_style", options_.warmup_style},
                                  {"total_steps", options_.total_steps},
                                  {"power", options_.decay_power}});
  if (accumulates()) AccumulateGradients();
  every_ = static_cast<int>(options_.accumulate);
  const bool clips = options_.clip_norm > 0;
  const TensorId clipped = clips || scaled() ? SquareNorm(true) : kNone;
  if (clipped != kNone && clips) {
    std::vector<TensorId> inputs = {clipped};
    if (scaled()) inputs.push_back(differentiated_.loss_scale);
    clipped_scale_ = builder_.Add1("clip_factor", "clip_factor", inputs,
                                   {{"max_norm", options_.clip_norm}});
  }
  if (scaled()) {
    unclipped_scale_ = builder_.Add1("reciprocal", "inverse_loss_scale",
                                     {differentiated_.loss_scale});
    if (clipped_scale_ == kNone) clipped_scale_ = unclipped_scale_;
    // The squared norm of everything is finite only if every gradient is.
    const TensorId other = SquareNorm(false);
    TensorId total = clipped == kNone ? other : clipped;
    if (clipped != kNone && other != kNone) {
      total = builder_.Add1("add", "square_norm", {clipped, other});
    }
    skip_ = builder_.Add1("overflow", "overflow", {total});
  }
  for (const auto& [variable, gradient] : differentiated_.gradients) {
    Update(variable, gradient);
  }
  UpdateHistory();
  if (scaled()) {
    every_ = static_cast<int>(options_.accumulate);
    Enter("optimizer", "optimizer");
    const TensorId good_steps =
        Variable("loss_scale_good_steps", {{"shape", std::vector<int64_t>{}}});
    builder_.Add1("loss_scale_update", "loss_scale_update",
                  {differentiated_.loss_scale, good_steps, skip_},
                  {{"growth_interval", options_.loss_scale_growth_interval}});
  }
  RETURN_IF_ERROR(builder_.status());
  if (history_ == kNone) return std::move(differentiated_.graph);
  // Readers of lazily updated rows now read variables that come after them: all
  // is kept, but sorted.
  std::vector<TensorId> keep(differentiated_.graph.tensors.size());
  std::iota(keep.begin(), keep.end(), 0);
  return Prune(differentiated_.graph, /*dropped=*/{}, keep, lookup_);
}

}  // namespace

absl::StatusOr<ops::Graph> AppendOptimizer(DifferentiatedGraph graph,
                                           const OptimizerOptions& options,
                                           ops::OpLookup lookup) {
  return OptimizerBuilder(std::move(graph), options, lookup).Build();
}

}  // namespace facet::placement
