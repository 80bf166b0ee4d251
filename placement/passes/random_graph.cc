#include "placement/passes/random_graph.h"

#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/plan/small_plan.h"

namespace facet::placement {
namespace {

class Generator {
 public:
  Generator(uint64_t seed, const Cluster& cluster)
      : random_(seed), cluster_(cluster), builder_(&graph_.graph, FindAnyOp) {
    // Enough for every split, of both axes of a mesh, too.
    const int least = MeshOf(cluster).num_devices();
    shape_ = {least + Pick(5), least + Pick(9)};
    routes_ = std::make_unique<BoxingRoutes>(
        ops::TensorType{ops::DataType::kFloat32, shape_}, cluster,
        /*compute_waits=*/true);
  }

  LaidOutGraph Run(int num_nodes) {
    graph_.graph.name = "random";
    for (int v = 0; v <= Pick(3); ++v) {
      variables_.push_back(Source("state", RandomSbp(false)));
    }
    for (int s = 0; s <= Pick(2); ++s) Source("source", RandomSbp(false));
    for (int n = 0; n < num_nodes; ++n) {
      const ops::NdSbp sbp = RandomSbp(true);
      std::vector<ops::TensorId> inputs;
      for (int i = 0; i <= Pick(3); ++i) inputs.push_back(In(sbp, Recent()));
      Add("work", inputs, sbp);
    }
    for (ops::TensorId variable : variables_) {
      if (Pick(4) == 0) continue;
      const ops::NdSbp sbp = graph_.sbp[variable];
      ops::TensorId change = Recent();
      if (change == variable) continue;
      Add("update", {variable, In(sbp, change)}, sbp);
    }
    for (int r = 0; r <= Pick(2); ++r) {
      // The caller gets all of it once.
      const ops::TensorId t = Recent();
      const ops::NdSbp sbp = ops::NdSbp::Uniform(
          static_cast<int>(cluster_.mesh.size()), graph_.sbp[t][0]);
      Add("report", {In(sbp, t)}, sbp);
    }
    graph_.layout.assign(graph_.graph.tensors.size(), ops::Layout::kRowMajor);
    return std::move(graph_);
  }

 private:
  int Pick(int n) { return static_cast<int>(random_() % n); }

  ops::NdSbp RandomSbp(bool partial) {
    ops::NdSbp sbp;
    for (size_t a = 0; a < cluster_.mesh.size(); ++a) {
      sbp.push_back(RandomAlongAxis(partial));
    }
    return sbp;
  }
  ops::Sbp RandomAlongAxis(bool partial) {
    switch (Pick(partial ? 4 : 3)) {
      case 0:
        return ops::Sbp::B();
      case 1:
        return ops::Sbp::S(0);
      case 2:
        return ops::Sbp::S(1);
      default:
        return ops::Sbp::PSum();
    }
  }

  std::vector<ops::TensorId> Add(const char* op,
                                 const std::vector<ops::TensorId>& inputs,
                                 const ops::NdSbp& sbp,
                                 ops::Attributes attributes = {}) {
    auto outputs = builder_.Add(op, op, inputs, std::move(attributes));
    CHECK(outputs.ok()) << outputs.status();
    graph_.sbp.resize(graph_.graph.tensors.size(), sbp);
    return *outputs;
  }
  ops::TensorId Source(const char* op, const ops::NdSbp& sbp) {
    return Add(op, {}, sbp,
               {{"shape", std::vector<int64_t>(shape_.dims().begin(),
                                               shape_.dims().end())}})[0];
  }
  // Mostly one of the last.
  ops::TensorId Recent() {
    const int n = static_cast<int>(graph_.graph.tensors.size());
    return Pick(3) == 0 ? Pick(n) : n - 1 - Pick(std::min(n, 4));
  }
  ops::TensorId In(const ops::NdSbp& sbp, ops::TensorId t) {
    if (graph_.sbp[t] == sbp) return t;
    ops::TensorId at = t;
    for (const ops::NdSbp& next : routes_->Route(graph_.sbp[t], sbp)) {
      auto [it, is_new] = boxed_.emplace(std::make_pair(t, next), ops::kNone);
      if (is_new) it->second = Add("boxing", {at}, next)[0];
      at = it->second;
    }
    return at;
  }

  std::mt19937_64 random_;
  const Cluster& cluster_;
  std::unique_ptr<BoxingRoutes> routes_;
  LaidOutGraph graph_;
  ops::GraphBuilder builder_;
  ops::Shape shape_;
  std::vector<ops::TensorId> variables_;
  std::map<std::pair<ops::TensorId, ops::NdSbp>, ops::TensorId> boxed_;
};

}  // namespace

const ops::OpDef* FindAnyOp(absl::string_view name) {
  const ops::OpDef* op = FindTestOp(name);
  return op != nullptr ? op : ops::FindOp(name);
}

Cluster TestCluster(const ops::Mesh& mesh) {
  static const ops::KernelDef* const kPlain = new ops::KernelDef;
  static const ops::KernelDef* const kWork = [] {
    auto* kernel = new ops::KernelDef;
    kernel->workspace_bytes =
        [](const ops::KernelSpec& spec) -> absl::StatusOr<int64_t> {
      return 100 * static_cast<int64_t>(spec.inputs.size());
    };
    return kernel;
  }();
  static const ops::KernelLibrary* const kLibrary = new ops::KernelLibrary{
      "test",
      [](absl::string_view op) -> const ops::KernelDef* {
        if (op == "nameless") return nullptr;
        return op == "work" ? kWork : kPlain;
      },
      [](ops::DataType) { return ops::Layout::kRowMajor; }};
  Cluster cluster =
      UniformCluster(mesh.num_devices(), DeviceSpec(), MeshAxis());
  std::vector<AxisSize> axes;
  for (int a = 0; a < mesh.num_axes(); ++a) {
    axes.push_back({absl::StrCat("axis", a), mesh.sizes[a]});
  }
  cluster = Arranged(std::move(cluster), axes);
  for (int a = mesh.num_axes() - 2; a >= 0; --a) {
    cluster.mesh[a].bytes_per_second =
        cluster.mesh[a + 1].bytes_per_second / 10;
  }
  cluster.kernels = kLibrary;
  return cluster;
}

Cluster TestCluster(int count) { return TestCluster(ops::Mesh{{count}}); }

LaidOutGraph RandomGraph(uint64_t seed, const Cluster& cluster, int num_nodes) {
  return Generator(seed, cluster).Run(num_nodes);
}

LaidOutGraph RandomGraph(uint64_t seed, int num_devices, int num_nodes) {
  return RandomGraph(seed, TestCluster(num_devices), num_nodes);
}

}  // namespace facet::placement
