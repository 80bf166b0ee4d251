// The search against all assignments, on small random graphs.

#include "placement/passes/assign_sbp.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph/mesh.h"
#include "ops/graph_builder.h"
#include "ops/nd_signature.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/cost/op_cost.h"
#include "placement/passes/activations.h"
#include "placement/passes/insert_boxing.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

using ops::NdSbp;
using ops::NdSignature;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A source, some work on what there is already, a report; tensors of a size
// where moving and computing cost alike. The first `num_forward` are the
// forward pass.
ops::Graph SmallGraph(uint64_t seed, int num_work, int num_forward,
                      int largest) {
  std::mt19937_64 random(seed);
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, FindAnyOp);
  const auto size = [&] {
    return static_cast<int64_t>(8 + random() % largest);
  };
  const std::vector<int64_t> shape = {size(), size()};
  auto begin = [&](ops::Phase phase) {
    builder.set_origin({"", "", phase, false});
  };
  begin(ops::Phase::kData);
  builder.Add1("source", "source", {}, {{"shape", shape}});
  for (int w = 0; w < num_work; ++w) {
    begin(w < num_forward ? ops::Phase::kForward : ops::Phase::kBackward);
    std::vector<ops::TensorId> inputs;
    for (uint64_t i = 0; i <= random() % 2; ++i) {
      inputs.push_back(static_cast<int>(random() % graph.tensors.size()));
    }
    builder.Add1("work", "work", inputs);
  }
  builder.Add1("report", "report",
               {static_cast<int>(graph.tensors.size()) - 1});
  EXPECT_TRUE(builder.status().ok()) << builder.status();
  return graph;
}

// All assignments, by the rules of assign_sbp.h for graphs without parameters.
class AllAssignments {
 public:
  AllAssignments(const ops::Graph& graph, const Cluster& cluster,
                 const std::map<std::string, NdSbp>& pins = {})
      : graph_(graph), cluster_(cluster) {
    for (const Recomputable& r :
         FindRecomputable(graph, cluster.devices[0], FindAnyOp)) {
      again_.push_back(r);
    }
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const ops::NodeCall types(graph, static_cast<ops::NodeId>(n));
      const ops::OpDef& def = *FindAnyOp(graph.nodes[n].op);
      labels_.push_back(
          ops::LegalNdSignatures(def, types.call(), MeshOf(cluster)));
      const auto pin = pins.find(graph.nodes[n].name);
      std::erase_if(labels_.back(), [&](const NdSignature& signature) {
        return pin != pins.end() && signature.outputs[0] != pin->second;
      });
      seconds_.emplace_back();
      for (const NdSignature& signature : labels_.back()) {
        seconds_[n].push_back(OpSeconds(def, types.call(), signature,
                                        MeshOf(cluster), cluster.devices[0]));
      }
    }
    chosen_.resize(graph.nodes.size());
  }

  double Least() { return LeastWithin(kInfinity); }
  // Of those that hold no more, whatever is computed again.
  double LeastWithin(double bytes) {
    limit_ = bytes;
    best_ = kInfinity;
    Choose(0, 0);
    return best_;
  }

 private:
  void Choose(size_t node, double seconds) {
    if (seconds >= best_) return;
    if (node == labels_.size()) {
      seconds += BoxingOfAll();
      if (limit_ == kInfinity) {
        best_ = std::min(best_, seconds);
        return;
      }
      for (int set = 0; set < 1 << again_.size(); ++set) {
        const auto [more, held] = Held(set);
        if (held <= limit_) best_ = std::min(best_, seconds + more);
      }
      return;
    }
    for (size_t l = 0; l < labels_[node].size(); ++l) {
      chosen_[node] = &labels_[node][l];
      Choose(node + 1, seconds + seconds_[node][l]);
    }
  }

  // What it costs to compute these again, and what is held then.
  std::pair<double, double> Held(int set) const {
    double seconds = 0, held = 0;
    for (size_t t = 0; t < graph_.tensors.size(); ++t) {
      const ops::Tensor& tensor = graph_.tensors[t];
      if (!IsForward(graph_.nodes[tensor.producer])) continue;
      const NdSbp& made =
          chosen_[tensor.producer]->outputs[tensor.output_index];
      int readings = 0;
      bool forward = false, backward = false;
      NdSbp boxed = made;
      for (size_t n = 0; n < graph_.nodes.size(); ++n) {
        const ops::Node& node = graph_.nodes[n];
        for (size_t i = 0; i < node.inputs.size(); ++i) {
          if (node.inputs[i] != static_cast<ops::TensorId>(t)) continue;
          ++readings;
          (IsForward(node) ? forward : backward) = true;
          if (chosen_[n]->inputs[i] != made) boxed = chosen_[n]->inputs[i];
        }
      }
      if (!backward) continue;
      // A single reader's copy is made when it is read.
      const bool copied = boxed != made && readings > 1;
      bool again = false;
      for (size_t r = 0; r < again_.size(); ++r) {
        if (again_[r].tensor != static_cast<ops::TensorId>(t)) continue;
        if ((set >> r & 1) == 0) continue;
        if (copied) return {0, kInfinity};
        again = true;
        seconds += Seconds(tensor.producer);
        for (size_t i = 1; i < again_[r].nodes.size(); ++i) {
          const auto& all = seconds_[again_[r].nodes[i]];
          seconds += *std::min_element(all.begin(), all.end());
        }
      }
      if (again) continue;
      auto bytes = [&](const NdSbp& sbp) {
        return 4.0 *
               static_cast<double>(
                   ops::LocalRegion(tensor.type.shape, sbp, MeshOf(cluster_), 0)
                       .shape.num_elements());
      };
      held +=
          copied && forward ? std::max(bytes(made), bytes(boxed)) : bytes(made);
    }
    return {seconds, held};
  }

  double Seconds(ops::NodeId node) const {
    for (size_t l = 0; l < labels_[node].size(); ++l) {
      if (&labels_[node][l] == chosen_[node]) return seconds_[node][l];
    }
    return kInfinity;
  }

  // Several readers share one further SBP, which nothing is made partial for.
  double BoxingOfAll() {
    double seconds = 0;
    for (size_t t = 0; t < graph_.tensors.size(); ++t) {
      const ops::Tensor& tensor = graph_.tensors[t];
      const NdSbp& made =
          chosen_[tensor.producer]->outputs[tensor.output_index];
      int readings = 0;
      std::set<NdSbp> others;
      for (size_t n = 0; n < graph_.nodes.size(); ++n) {
        const ops::Node& node = graph_.nodes[n];
        for (size_t i = 0; i < node.inputs.size(); ++i) {
          if (node.inputs[i] != static_cast<ops::TensorId>(t)) continue;
          ++readings;
          if (chosen_[n]->inputs[i] != made) {
            others.insert(chosen_[n]->inputs[i]);
          }
        }
      }
      if (others.empty()) continue;
      if (others.size() > 1) return kInfinity;
      const NdSbp& to = *others.begin();
      for (int a = 0; readings > 1 && a < to.num_axes(); ++a) {
        if (to[a].is_partial() && to[a] != made[a]) return kInfinity;
      }
      seconds += Seconds(tensor.type, made, to);
    }
    return seconds;
  }

  double Seconds(const ops::TensorType& type, const NdSbp& from,
                 const NdSbp& to) {
    auto [it, is_new] = known_.try_emplace({from, to}, 0.0);
    if (is_new) {  // All tensors have one type.
      it->second = BoxingRoutes(type, cluster_, true).Seconds(from, to);
    }
    return it->second;
  }

  const ops::Graph& graph_;
  const Cluster& cluster_;
  std::vector<std::vector<NdSignature>> labels_;
  std::vector<std::vector<double>> seconds_;
  std::vector<const NdSignature*> chosen_;
  std::map<std::pair<NdSbp, NdSbp>, double> known_;
  std::vector<Recomputable> again_;
  double limit_ = kInfinity;
  double best_ = kInfinity;
};

TEST(AssignSbpTest, FindsTheBestOfAllAssignments) {
  const std::vector<ops::Mesh> meshes = {
      {{3}}, {{2, 2}}, {{2, 3}}, {{3, 2}}, {{4}}};
  std::set<std::string> chosen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const ops::Mesh& mesh = meshes[seed % meshes.size()];
    const Cluster cluster = TestCluster(mesh);
    // 16 signatures of each node on two axes.
    const ops::Graph graph = SmallGraph(
        seed, 1 + static_cast<int>(seed / meshes.size()) % 3, 3, 500);
    const auto found = AssignSbp(graph, cluster, {}, FindAnyOp);
    ASSERT_TRUE(found.ok()) << found.status();
    const double least = AllAssignments(graph, cluster).Least();
    EXPECT_NEAR(found->seconds, least, 1e-9 * least)
        << "seed " << seed << " on " << mesh.ToString();
    EXPECT_EQ(found->lower_bound, found->seconds);
    // What is said to be the cost is that of what was chosen, and it is legal.
    EXPECT_TRUE(InsertBoxing(graph, *found, FindAnyOp).ok());
    for (const NdSbp& sbp : found->produced) chosen.insert(sbp.ToString());
  }
  // The graphs were not all alike.
  EXPECT_GT(chosen.size(), 5u);
}

// Whatever is computed again in any case counts, and changes no placement.
TEST(AssignSbpTest, AllThatMayBeIsComputedAgain) {
  int again = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Cluster cluster = TestCluster({{3}});
    const ops::Graph graph = SmallGraph(seed, 4, 3, 500);
    const auto kept = AssignSbp(graph, cluster, {}, FindAnyOp);
    auto search = SbpSearch::Make(graph, cluster, {}, FindAnyOp,
                                  {Parameters::kFastest, Keeping::kLeast});
    ASSERT_TRUE(kept.ok() && search.ok()) << kept.status() << search.status();
    const auto least = search->Within(kInfinity);
    ASSERT_TRUE(least.ok()) << least.status();
    EXPECT_EQ(least->produced, kept->produced);
    double seconds = kept->seconds, bytes = kept->held_bytes;
    for (const MadeAgain& each : least->again) {
      seconds += each.seconds;
      bytes -= each.bytes;
      ++again;
    }
    EXPECT_NEAR(least->seconds, seconds, 1e-9 * seconds);
    EXPECT_NEAR(least->lower_bound, seconds, 1e-9 * seconds);
    EXPECT_NEAR(least->held_bytes, bytes, 1);
    const auto options = search->SecondsWithEachOption(kInfinity, 0);
    ASSERT_TRUE(options.ok()) << options.status();
    for (const std::vector<double>& of_node : *options) {
      EXPECT_NEAR(*std::min_element(of_node.begin(), of_node.end()), seconds,
                  1e-9 * seconds);
    }
  }
  EXPECT_GT(again, 10);
}

// What is found within a limit keeps it, costs no less than the best there is,
// and that no less than the bound; and what prices lead to is the best within
// what it holds itself.
TEST(AssignSbpTest, FindsGoodOnesWithinMemory) {
  const std::vector<ops::Mesh> meshes = {{{3}}, {{2, 2}}, {{4}}, {{2}}};
  int exact = 0, inexact = 0, again = 0, placed_otherwise = 0, refused = 0;
  for (uint64_t seed = 0; seed < 48; ++seed) {
    const ops::Mesh& mesh = meshes[seed % meshes.size()];
    const Cluster cluster = TestCluster(mesh);
    const int num_work = 2 + static_cast<int>(seed / meshes.size()) % 2;
    const ops::Graph graph =
        SmallGraph(seed, num_work, num_work - 1, seed % 3 == 0 ? 500 : 50);
    // The result is wanted whole: so much for splitting everything.
    std::map<std::string, NdSbp> pins;
    if (seed % 2 == 0) {
      pins[graph.tensors.back().name] =
          NdSbp::Uniform(mesh.num_axes(), ops::Sbp::B());
    }
    AllAssignments all(graph, cluster, pins);
    auto search = SbpSearch::Make(graph, cluster, pins, FindAnyOp,
                                  {Parameters::kFastest, Keeping::kChosen});
    ASSERT_TRUE(search.ok()) << search.status();
    const auto fastest = search->Within(kInfinity);
    ASSERT_TRUE(fastest.ok());
    const double least_held = search->Least()->held_bytes;
    for (double part : {-0.01, 0.0, 0.25, 0.5, 0.9}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " on "
                                      << mesh.ToString() << ", " << part);
      double limit = least_held + part * (fastest->held_bytes - least_held);
      if (part < 0) limit = least_held - 1;
      const double least = all.LeastWithin(limit);
      const auto found = search->Within(limit);
      if (least == kInfinity) {
        ++refused;
        EXPECT_EQ(found.status().code(), absl::StatusCode::kResourceExhausted);
        continue;
      }
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_LE(found->held_bytes, limit);
      EXPECT_GE(found->seconds, least * (1 - 1e-9));
      EXPECT_LE(found->lower_bound, least * (1 + 1e-9));
      // Some option of each node is the one of the best there may be.
      const auto seconds = search->SecondsWithEachOption(
          found->may_hold, found->seconds_per_byte);
      ASSERT_TRUE(seconds.ok()) << seconds.status();
      for (const std::vector<double>& of_node : *seconds) {
        EXPECT_NEAR(*std::min_element(of_node.begin(), of_node.end()),
                    found->lower_bound, 1e-9);
      }
      const double its_own = all.LeastWithin(found->held_bytes);
      (found->seconds <= its_own * (1 + 1e-9) ? exact : inexact)++;
      again += !found->again.empty();
      placed_otherwise += found->produced != fastest->produced;
    }
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(again, 30);
  EXPECT_GT(placed_otherwise, 6);
  // What HoldMore adds need not be the best for its bytes.
  EXPECT_GT(exact, 20 * inexact);
}

}  // namespace
}  // namespace facet::placement
