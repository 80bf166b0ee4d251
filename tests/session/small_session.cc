#include "tests/session/small_session.h"

#include <vector>

#include "absl/status/statusor.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "placement/cluster.h"
#include "placement/compile.h"

namespace facet::runtime {

using ops::TensorId;

placement::Plan SmallPlan(int devices, bool split_weight,
                          const ops::KernelLibrary* cuda) {
  ops::Graph graph;
  graph.name = "session_test";
  ops::GraphBuilder b(&graph, ops::FindOp);
  const auto batch =
      b.Add("image_source", "images", {}, {{"batch_size", kBatch}});
  const TensorId flat = b.Add1("flatten", "flat", {(*batch)[0]});
  const TensorId weight = b.Add1("variable", "weight", {},
                                 {{"shape", std::vector<int64_t>{5, kPixels}},
                                  {"init", std::string("normal")},
                                  {"stddev", 0.01},
                                  {"key", int64_t{7}}});
  const TensorId y =
      b.Add1("matmul", "y", {flat, weight}, {{"transpose_b", true}});
  const TensorId scaled = b.Add1("scale", "scaled", {y}, {{"factor", 0.5}});
  const TensorId square = b.Add1("square_norm", "square", {scaled});
  b.Add1("fetch", "fetch", {square}, {{"name", std::string("square")}});
  EXPECT_TRUE(b.status().ok()) << b.status();
  placement::DeviceSpec device;
  device.kind = cuda == nullptr ? "cpu" : "cuda";
  placement::Cluster cluster = placement::UniformCluster(devices, device, {});
  cluster.kernels = cuda == nullptr ? &ops::CpuKernels() : cuda;
  placement::CompileOptions options;
  if (devices > 1) {
    options.pins["images"] = ops::Sbp::S(0);
    options.pins["weight"] = split_weight ? ops::Sbp::S(0) : ops::Sbp::B();
  }
  absl::StatusOr<placement::Plan> plan =
      placement::Compile(graph, cluster, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

}  // namespace facet::runtime
