#include "placement/tool/simulated_run.h"

#include <algorithm>
#include <utility>

#include "models/train_graph.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/compile.h"
#include "placement/plan/stated_devices.h"
#include "placement/simulate/hardware.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {
namespace {

absl::StatusOr<Plan> CompileFor(const Request& request, Cluster cluster,
                                bool* fits) {
  ASSIGN_OR_RETURN(
      models::TrainModel model,
      models::BuildTrainGraph(TrainConfigOf(request), ops::FindOp));
  const CompileOptions options = CompileOptionsOf(request, model.loss);
  absl::StatusOr<Plan> plan = Compile(model.graph, cluster, options);
  *fits = !absl::IsResourceExhausted(plan.status());
  if (*fits) return plan;
  return Compile(model.graph, WithoutMemoryLimits(std::move(cluster)), options);
}

void RunCollectivesAmongCompute(Plan* plan) {
  for (Task& task : *plan->mutable_tasks()) {
    if (task.stream() == "communication") task.set_stream("compute");
  }
}

double ExposedSeconds(const Plan& plan, const StepTimes& times) {
  const std::vector<int> counts = CountLike(plan);
  double busy = 0;
  for (int t = 0; t < plan.tasks_size(); ++t) {
    const Task& task = plan.tasks(t);
    if (task.once() || task.has_collective() || task.stream() != "compute") {
      continue;
    }
    busy += counts[task.device()] * (times.tasks[t].end - times.tasks[t].start);
  }
  return std::max(0.0, times.seconds - busy / plan.devices_size());
}

}  // namespace

double SimulatedRun::phase(const std::string& name) const {
  for (const auto& [phase, seconds] : phases) {
    if (phase == name) return seconds;
  }
  return 0;
}

absl::StatusOr<SimulatedRun> SimulateRequest(
    const Request& request, const Hardware& hardware,
    const SimulatedRunOptions& options) {
  SimulatedRun run;
  ASSIGN_OR_RETURN(
      Plan plan,
      CompileFor(request, ClusterOf(hardware, AxesOf(request)), &run.fits));
  if (!options.overlap) RunCollectivesAmongCompute(&plan);
  const StepTimes times = SimulateSteadyStep(plan);
  run.step_seconds = times.seconds;
  run.samples_per_second =
      static_cast<double>(request.batch_size) / run.step_seconds;
  run.memory_bytes = plan.devices(0).arena_bytes();
  run.persistent_bytes = plan.devices(0).persistent_bytes();
  run.phases = SimulatedPhases(plan);
  run.exposed_seconds = ExposedSeconds(plan, times);
  for (const Option& option : plan.options()) {
    if (option.name() == "fused") run.fused = option.value() == "true";
  }
  return run;
}

}  // namespace facet::placement
