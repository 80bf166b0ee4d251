// The search against all assignments, on small random graphs.

#include "placement/passes/assign_sbp.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "ops/graph_builder.h"
#include "ops/nd_signature.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/cost/op_cost.h"
#include "placement/passes/insert_boxing.h"
#include "placement/passes/random_graph.h"

namespace facet::placement {
namespace {

using ops::NdSbp;
using ops::NdSignature;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A source, some work on what there is already, a report; tensors of a size
// where moving and computing cost alike.
ops::Graph SmallGraph(uint64_t seed, int num_work) {
  std::mt19937_64 random(seed);
  ops::Graph graph;
  ops::GraphBuilder builder(&graph, FindAnyOp);
  const auto size = [&] { return static_cast<int64_t>(8 + random() % 500); };
  const std::vector<int64_t> shape = {size(), size()};
  builder.Add1("source", "source", {}, {{"shape", shape}});
  for (int w = 0; w < num_work; ++w) {
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
  AllAssignments(const ops::Graph& graph, const Cluster& cluster)
      : graph_(graph), cluster_(cluster) {
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const ops::NodeCall types(graph, static_cast<ops::NodeId>(n));
      const ops::OpDef& def = *FindAnyOp(graph.nodes[n].op);
      labels_.push_back(
          ops::LegalNdSignatures(def, types.call(), MeshOf(cluster)));
      seconds_.emplace_back();
      for (const NdSignature& signature : labels_.back()) {
        seconds_[n].push_back(OpSeconds(def, types.call(), signature,
                                        MeshOf(cluster), cluster.devices[0]));
      }
    }
    chosen_.resize(graph.nodes.size());
  }

  double Least() {
    best_ = kInfinity;
    Choose(0, 0);
    return best_;
  }

 private:
  void Choose(size_t node, double seconds) {
    if (seconds >= best_) return;
    if (node == labels_.size()) {
      best_ = std::min(best_, seconds + BoxingOfAll());
      return;
    }
    for (size_t l = 0; l < labels_[node].size(); ++l) {
      chosen_[node] = &labels_[node][l];
      Choose(node + 1, seconds + seconds_[node][l]);
    }
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
    const ops::Graph graph =
        SmallGraph(seed, 1 + static_cast<int>(seed / meshes.size()) % 3);
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

}  // namespace
}  // namespace facet::placement
