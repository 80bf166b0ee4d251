#include "benchmarks/compiled_model.h"

#include "models/train_graph.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {

absl::StatusOr<placement::Plan> CompileModel(
    const ModelToCompile& model, const placement::Cluster& cluster) {
  models::TrainConfig config;
  config.network = model.network;
  config.classes = model.classes;
  config.batch_size = model.batch_per_device * cluster.num_devices();
  config.bn_groups = cluster.num_devices();
  ASSIGN_OR_RETURN(const models::TrainModel graph,
                   models::BuildTrainGraph(config, ops::FindOp));
  placement::CompileOptions options;
  options.loss = graph.loss;
  options.precision = model.precision;
  return placement::Compile(graph.graph, WithoutMemoryLimits(cluster), options);
}

placement::Cluster EqualCpuCluster(int devices) {
  placement::Cluster cluster = placement::UniformCluster(devices, {}, {});
  cluster.kernels = &ops::CpuKernels();
  return cluster;
}

}  // namespace facet::benchmarks
