#include "placement/tool/plan_source.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "benchmarks/local_devices.h"
#include "models/train_graph.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/simulate/hardware.h"
#include "placement/tool/flag_values.h"

namespace facet::placement {

absl::StatusOr<Compiled> CompileFromFlags() {
  Compiled compiled;
  ASSIGN_OR_RETURN(const DeviceChoice auto_devices, benchmarks::AutoDevices());
  ASSIGN_OR_RETURN(compiled.request, RequestFromFlags(auto_devices));
  if (compiled.request.classes == 0) {
    return InvalidFlag("classes", "0", "a plan needs a number of classes");
  }
  if (!compiled.request.dump_passes.empty()) {
    std::error_code error;
    std::filesystem::create_directories(compiled.request.dump_passes, error);
    if (error) {
      return InvalidFlag(
          "dump_passes", compiled.request.dump_passes,
          absl::StrCat("cannot make the folder: ", error.message()));
    }
  }
  if (compiled.request.hardware.empty()) {
    ASSIGN_OR_RETURN(
        const benchmarks::LocalDevices local,
        benchmarks::UseLocalDevices(LocalDevicesOf(compiled.request)));
    compiled.cluster = Arranged(local.cluster, AxesOf(compiled.request));
  } else {
    ASSIGN_OR_RETURN(const Hardware hardware,
                     ReadHardware(compiled.request.hardware));
    compiled.cluster = ClusterOf(hardware, AxesOf(compiled.request));
  }
  // Only now: measuring the machine is not compiling.
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(
      models::TrainModel model,
      models::BuildTrainGraph(TrainConfigOf(compiled.request), ops::FindOp));
  compiled.model = std::move(model.graph);
  compiled.options = CompileOptionsOf(compiled.request, model.loss);
  absl::StatusOr<Compilation> result =
      CompileWithReasons(compiled.model, compiled.cluster, compiled.options);
  if (absl::IsResourceExhausted(result.status())) {
    compiled.note = absl::StrCat("not on these devices: ",
                                 std::string(result.status().message()));
    compiled.cluster = WithoutMemoryLimits(std::move(compiled.cluster));
    result =
        CompileWithReasons(compiled.model, compiled.cluster, compiled.options);
  }
  RETURN_IF_ERROR(result.status());
  compiled.result = *std::move(result);
  compiled.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return compiled;
}

}  // namespace facet::placement
