// A model of ours on hardware that need not be here: compiled for it, and the
// plan simulated.
#ifndef FACET_PLACEMENT_TOOL_SIMULATED_RUN_H_
#define FACET_PLACEMENT_TOOL_SIMULATED_RUN_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/simulate/hardware.pb.h"
#include "placement/tool/request.h"

namespace facet::placement {

struct SimulatedRun {
  double step_seconds = 0;
  double samples_per_second = 0;  // Of all devices together.
  // Of the first device, which has the largest shares.
  int64_t memory_bytes = 0;      // Its arena.
  int64_t persistent_bytes = 0;  // Of it, variables and the like.
  bool fits = true;              // Into Hardware::memory_bytes.
  // SimulatedPhases of the plan.
  std::vector<std::pair<std::string, double>> phases;
  // Of a step, when no device computes: communication that nothing hides, and
  // waiting. Mean over the devices.
  double exposed_seconds = 0;
  bool fused = false;  // The head.

  double phase(const std::string& name) const;
};

struct SimulatedRunOptions {
  // Collectives take their turn among the compute tasks, in the plan's order,
  // instead of running beside them.
  bool overlap = true;
};

// request.devices of the hardware. A model that does not fit is simulated all
// the same, as if it did: `fits` says so.
absl::StatusOr<SimulatedRun> SimulateRequest(
    const Request& request, const Hardware& hardware,
    const SimulatedRunOptions& options = {});

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_SIMULATED_RUN_H_
