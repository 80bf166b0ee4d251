// The tables of `plan simulate`, as text and as facts for programs. All figures
// are simulated unless a column says "published".
#ifndef FACET_PLACEMENT_TOOL_SIMULATION_TABLES_H_
#define FACET_PLACEMENT_TOOL_SIMULATION_TABLES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "placement/simulate/hardware.pb.h"
#include "placement/tool/published_speed.h"
#include "placement/tool/request.h"
#include "placement/tool/simulated_run.h"

namespace facet::placement {

using Json = nlohmann::ordered_json;

// Devices of one kind in a row.
struct Machine {
  Hardware hardware;
  int devices = 0;
};

Json RunJson(const SimulatedRun& run);

// The rows with their errors. Adds "rows" (name, published, predicted,
// error_percent, fitted) and "mean_absolute_error_percent_unseen".
std::string ErrorTable(const std::vector<SpeedRow>& rows, int width,
                       Json* json);

// Our plans for the published rows, beside arcface_torch's execution, and where
// the difference comes from. Adds "ours". Of `request`, network, classes,
// batch, precision and Partial FC are the rows'.
absl::StatusOr<std::string> OurTables(const Machine& machine, Request request,
                                      int width, Json* json);

// 8 to 64 devices, 2 to 100 million identities. Adds "rows". Of `request`,
// classes, devices and batch are the table's.
absl::StatusOr<std::string> ScaleOutTable(const Machine& machine,
                                          Request request, int width,
                                          Json* json);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_SIMULATION_TABLES_H_
