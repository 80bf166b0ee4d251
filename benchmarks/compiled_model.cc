#include "benchmarks/compiled_model.h"

#include <utility>
#include <vector>

#include "models/train_graph.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {

namespace {

absl::StatusOr<models::TrainModel> Build(const ModelToCompile& model,
                                         int devices) {
  models::TrainConfig config;
  config.network = model.network;
  config.classes = model.classes;
  config.batch_size = model.batch_per_device * devices;
  config.bn_groups = devices;
  return models::BuildTrainGraph(config, ops::FindOp);
}

placement::CompileOptions OptionsFor(const ModelToCompile& model,
                                     const models::TrainModel& graph,
                                     int devices) {
  placement::CompileOptions options;
  options.loss = graph.loss;
  options.precision = model.precision;
  // As the tool makes them for hardware that is not here.
  options.state_equal_once = devices > placement::kMostDevicesStated;
  return options;
}

}  // namespace

absl::StatusOr<placement::Plan> CompileModel(
    const ModelToCompile& model, const placement::Cluster& cluster) {
  ASSIGN_OR_RETURN(const models::TrainModel graph,
                   Build(model, cluster.num_devices()));
  return placement::Compile(graph.graph, WithoutMemoryLimits(cluster),
                            OptionsFor(model, graph, cluster.num_devices()));
}

absl::StatusOr<placement::PlacedModel> PlaceModel(
    const ModelToCompile& model, const placement::Cluster& cluster) {
  ASSIGN_OR_RETURN(const models::TrainModel graph,
                   Build(model, cluster.num_devices()));
  ASSIGN_OR_RETURN(
      std::vector<placement::PlacedModel> placed,
      placement::PlaceModel(graph.graph, cluster,
                            OptionsFor(model, graph, cluster.num_devices())));
  return std::move(placed.front());
}

placement::Cluster EqualCpuCluster(int devices) {
  placement::Cluster cluster = placement::UniformCluster(devices, {}, {});
  cluster.kernels = &ops::CpuKernels();
  return cluster;
}

}  // namespace facet::benchmarks
