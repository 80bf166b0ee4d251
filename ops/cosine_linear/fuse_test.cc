#include "ops/cosine_linear/fuse.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/gradient.h"
#include "ops/graph_builder.h"
#include "ops/may_round_attribute.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

constexpr DataType kFloat32 = DataType::kFloat32;

// A class layer by its parts, and what autodiff and the optimizer add to it.
struct Options {
  int64_t n = 5, c = 37, d = 9;
  bool train = true;
  bool input_gradient = true;
  bool overflow = false;  // Dynamic loss scaling.
  bool clip = false;      // The norm of the weight's gradient is needed.
  bool fetch_weights = false;
  // "sampled" or "dense": w is 37 rows of a larger variable.
  const char* row_update = "";
  const char* stored = "float32";  // How w and its momentum are.
};

class ClassLayer {
 public:
  explicit ClassLayer(const Options& options)
      : builder_(&graph_, FindOpOrGiven) {
    const auto& [n, c, d, train, input_gradient, overflow, clip, fetch,
                 row_update, stored] = options;
    x_ = AddGiven(&builder_, "x", {kFloat32, {n, d}});
    dy_ = AddGiven(&builder_, "dy", {kFloat32, {n, c}});
    const bool rows = *row_update != 0;
    const bool lazy = std::string(row_update) == "dense";
    const int64_t all = rows ? 2 * c + 1 : c;
    w_ = Variable("w", {all, d}, "normal", stored);
    momentum_ = Variable("momentum", {all, d}, "constant", stored);
    // What an update takes before the gradient.
    std::vector<TensorId> state = {w_, momentum_};
    if (rows) {
      const TensorId list =
          AddGiven(&builder_, "rows", {DataType::kInt32, {1, c}});
      std::vector<TensorId> gathered = {w_, list};
      if (lazy) {
        state.push_back(builder_.Add1("variable", "updated", {},
                                      {{"shape", std::vector<int64_t>{all}},
                                       {"dtype", std::string("int32")}}));
        state.push_back(Variable("history", {4, 8}, "constant"));
        gathered.insert(gathered.end(), {momentum_, state[2], state[3]});
      }
      state.push_back(list);
      w_ = Add(lazy ? "gather_rows_lazily" : "gather_rows", gathered);
    }
    const TensorId wn = Add("l2_normalize", {w_});
    y_ = Add("matmul", {x_, wn}, {{"transpose_b", true}, {kMayRound, true}});
    Report("y", y_);
    if (fetch) Report("wn", wn);
    if (!train) return;
    // As autodiff does it: by the gradient rules of the two ops.
    GradientContext matmul(&builder_, graph_.tensors[y_].producer, {dy_});
    matmul.set_wanted({input_gradient, true});
    Check(builder_.def(graph_.tensors[y_].producer).gradient(&matmul));
    if (input_gradient) {
      dx_ = matmul.input_gradient(0);
      Report("dx", dx_);
    }
    GradientContext normalize(&builder_, graph_.tensors[wn].producer,
                              {matmul.input_gradient(1)});
    Check(builder_.def(graph_.tensors[wn].producer).gradient(&normalize));
    const TensorId dw = normalize.input_gradient(0);
    const TensorId lr = Add("learning_rate", {}, {{"base", 0.1}});
    std::vector<TensorId> inputs = state;
    inputs.push_back(dw);
    inputs.push_back(lr);
    if (overflow || clip) {
      const TensorId other = Add("square_norm", {x_});
      const TensorId sum = Add("add", {Add("square_norm", {dw}), other});
      inputs.push_back(
          clip ? Add("clip_factor", {sum}, {{"max_norm", 1.0}})
               : Add("fill", {},
                     {{"shape", std::vector<int64_t>{}}, {"value", 0.5}}));
      inputs.push_back(Add("overflow", {sum}));
      Report("skip", inputs.back());
    }
    Add(lazy   ? "sgd_update_rows_lazily"
        : rows ? "sgd_update_rows"
               : "sgd_update",
        inputs, {{"momentum", 0.9}, {"weight_decay", 0.01}});
    if (lazy) {
      Add("decay_history_update", {state[3], lr},
          {{"momentum", 0.9}, {"weight_decay", 0.01}});
    }
    Check(builder_.status());
  }

  // Runs the rule; returns its log.
  std::vector<std::string> Fuse() {
    FusionContext context(&builder_);
    Check(FuseCosineLinear(&context));
    Compact(context);
    Check(VerifyGraph(graph_, FindOpOrGiven));
    return context.log();
  }

  std::vector<std::string> Ops() const {
    std::vector<std::string> ops;
    for (const Node& node : graph_.nodes) ops.push_back(node.op);
    return ops;
  }
  bool Has(const std::string& op) const {
    for (const Node& node : graph_.nodes) {
      if (node.op == op) return true;
    }
    return false;
  }

  // Of the first node of this op.
  Attributes AttributesOf(absl::string_view op) const {
    for (const Node& node : graph_.nodes) {
      if (node.op == op) return node.attributes;
    }
    return {};
  }

  // After `steps` steps: what is fetched, the weights and their momentum.
  std::vector<Values> Run(int steps, double dy_element) {
    auto interpreter = Interpreter::Create(&graph_, FindOpOrGiven,
                                           &CpuKernels(), RunOptions());
    CHECK(interpreter.ok()) << interpreter.status();
    for (const char* name : {"x", "dy"}) {
      const TensorId given = FindTensor(graph_, name);
      HostValue value = HostValue::Whole(graph_.tensors[given].type);
      value.FromDoubles(RandomValues(graph_.tensors[given].type, {}, given));
      if (name == std::string("dy") && dy_element != 0) {
        value.as<float>()[3] = static_cast<float>(dy_element);
      }
      interpreter->Set(given, value);
    }
    if (const TensorId rows = FindTensor(graph_, "rows"); rows != kNone) {
      const TensorType& type = graph_.tensors[rows].type;
      HostValue value = HostValue::Whole(type);
      value.FromDoubles(RandomValues(type, {0, 75, true}, 7));
      interpreter->Set(rows, value);
    }
    for (int i = 0; i < steps; ++i) Check(interpreter->Step());
    std::vector<Values> values;
    for (const Node& node : graph_.nodes) {
      if (node.op != "fetch") continue;
      values.push_back(interpreter->value(node.inputs[0]).ToDoubles());
    }
    for (const char* name : {"w", "momentum"}) {
      values.push_back(
          interpreter->value(FindTensor(graph_, name)).ToDoubles());
    }
    return values;
  }

 private:
  static void Check(const absl::Status& status) {
    CHECK(status.ok()) << status;
  }
  TensorId Add(const char* op, const std::vector<TensorId>& inputs,
               Attributes attributes = {}) {
    return builder_.Add1(op, op, inputs, std::move(attributes));
  }
  void Report(const char* name, TensorId tensor) {
    builder_.Add1("fetch", std::string("fetch_") + name, {tensor},
                  {{"name", std::string(name)}});
  }
  TensorId Variable(const char* name, std::vector<int64_t> shape,
                    const char* init, const char* dtype = "float32") {
    return builder_.Add1("variable", name, {},
                         {{"shape", std::move(shape)},
                          {"dtype", std::string(dtype)},
                          {"init", std::string(init)},
                          {"stddev", 0.1}});
  }

  // What the pass does after the rules: without the dropped nodes, sorted.
  void Compact(const FusionContext& context) {
    Graph result;
    std::vector<TensorId> new_id(graph_.tensors.size(), kNone);
    std::vector<bool> done(graph_.nodes.size(), false);
    for (bool progress = true; progress;) {
      progress = false;
      for (size_t n = 0; n < graph_.nodes.size(); ++n) {
        Node node = graph_.nodes[n];
        bool ready = !done[n] && !context.dropped(static_cast<NodeId>(n));
        for (TensorId t : node.inputs) ready = ready && new_id[t] != kNone;
        if (!ready) continue;
        progress = done[n] = true;
        for (TensorId& t : node.inputs) t = new_id[t];
        for (TensorId& t : node.outputs) {
          Tensor tensor = graph_.tensors[t];
          new_id[t] = static_cast<TensorId>(result.tensors.size());
          tensor.producer = static_cast<NodeId>(result.nodes.size());
          result.tensors.push_back(tensor);
          t = new_id[t];
        }
        result.nodes.push_back(node);
      }
    }
    // Whatever still needs a dropped node would be missing.
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      EXPECT_TRUE(done[n] || context.dropped(static_cast<NodeId>(n)))
          << graph_.nodes[n].name;
    }
    graph_ = std::move(result);
  }

  Graph graph_;
  GraphBuilder builder_;
  TensorId x_ = kNone, dy_ = kNone, w_ = kNone, momentum_ = kNone;
  TensorId y_ = kNone, dx_ = kNone;
};

void ExpectSameResults(const Options& options, double dy_element = 0) {
  ClassLayer plain(options);
  ClassLayer fused(options);
  ASSERT_EQ(fused.Fuse().size(), 1u);
  for (const char* op :
       {"matmul", "l2_normalize", "l2_normalize_grad", "sgd_update"}) {
    EXPECT_FALSE(fused.Has(op)) << op;
  }
  const std::vector<Values> want = plain.Run(3, dy_element);
  const std::vector<Values> got = fused.Run(3, dy_element);
  ASSERT_EQ(got.size(), want.size());
  for (size_t v = 0; v < got.size(); ++v) {
    ASSERT_EQ(got[v].size(), want[v].size());
    for (size_t i = 0; i < got[v].size(); ++i) {
      if (std::isnan(want[v][i])) {
        EXPECT_TRUE(std::isnan(got[v][i])) << v << " " << i;
      } else if (got[v][i] != want[v][i]) {  // Infinity minus itself is NaN.
        EXPECT_NEAR(got[v][i], want[v][i], 1e-5) << v << " " << i;
      }
    }
  }
}

TEST(FuseCosineLinearTest, Training) {
  ExpectSameResults({});
  ClassLayer layer({});
  layer.Fuse();
  for (const char* op :
       {"cosine_linear", "cosine_linear_grad_input", "cosine_linear_sgd"}) {
    EXPECT_TRUE(layer.Has(op)) << op;
    EXPECT_TRUE(layer.AttributesOf(op).Bool(kMayRound)) << op;
  }
}

TEST(FuseCosineLinearTest, TrainingOfTheClassesOnly) {
  Options options;
  options.input_gradient = false;
  ExpectSameResults(options);
}

TEST(FuseCosineLinearTest, Inference) {
  Options options;
  options.train = false;
  ExpectSameResults(options);
}

TEST(FuseCosineLinearTest, LossScalingSeesWhetherDyIsFinite) {
  Options options;
  options.overflow = true;
  ExpectSameResults(options);
  // The steps are skipped.
  ExpectSameResults(options, std::numeric_limits<double>::infinity());
  ClassLayer layer(options);
  layer.Fuse();
  EXPECT_TRUE(layer.Has("square_norm"));
}

TEST(FuseCosineLinearTest, TrainingOfListedRows) {
  for (const char* row_update : {"sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    Options options;
    options.row_update = row_update;
    ExpectSameResults(options);
    ClassLayer layer(options);
    layer.Fuse();
    const bool dense = std::string(row_update) == "dense";
    EXPECT_TRUE(layer.Has("cosine_linear"));
    EXPECT_TRUE(layer.Has(dense ? "cosine_linear_sgd_rows_lazily"
                                : "cosine_linear_sgd_rows"));
    EXPECT_FALSE(layer.Has("sgd_update_rows"));
    EXPECT_FALSE(layer.Has("sgd_update_rows_lazily"));
    options.overflow = true;
    ExpectSameResults(options);
    ExpectSameResults(options, std::numeric_limits<double>::infinity());
  }
}

// A gradient that differs in its last bits may be rounded to the other
// neighbour: this happens to few elements, and shows in what is made of them.
TEST(FuseCosineLinearTest, TrainingOfBFloat16State) {
  for (const char* row_update : {"", "sampled", "dense"}) {
    SCOPED_TRACE(row_update);
    Options options;
    options.row_update = row_update;
    options.stored = "bfloat16";
    ClassLayer plain(options), fused(options);
    ASSERT_EQ(fused.Fuse().size(), 1u);
    EXPECT_FALSE(fused.Has("l2_normalize"));
    const std::vector<Values> want = plain.Run(1, 0), got = fused.Run(1, 0);
    ASSERT_EQ(got.size(), want.size());
    int64_t elements = 0, differ = 0;
    for (size_t v = 0; v < got.size(); ++v) {
      for (size_t i = 0; i < got[v].size(); ++i) {
        ASSERT_NEAR(got[v][i], want[v][i],
                    1e-5 + 0x1p-7 * std::abs(want[v][i]));
        ++elements;
        differ += std::abs(got[v][i] - want[v][i]) > 1e-5;
      }
    }
    EXPECT_LE(differ, 2 + elements / 200);
  }
}

TEST(FuseCosineLinearTest, LeavesAloneWhatNeedsTheValues) {
  Options clip;
  clip.clip = true;
  Options fetch;
  fetch.fetch_weights = true;
  Options few_classes;
  few_classes.c = 5;
  for (const Options& options : {clip, fetch, few_classes}) {
    ClassLayer layer(options);
    const std::vector<std::string> before = layer.Ops();
    EXPECT_TRUE(layer.Fuse().empty());
    EXPECT_EQ(layer.Ops(), before);
  }
}

}  // namespace
}  // namespace facet::ops
