// CompileModel: a training of a face classifier, compiled for devices that need
// not be here: what the benchmarks of the compiler compile.
#ifndef FACET_BENCHMARKS_COMPILED_MODEL_H_
#define FACET_BENCHMARKS_COMPILED_MODEL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/compile.h"
#include "placement/plan/plan.pb.h"

namespace facet::benchmarks {

struct ModelToCompile {
  std::string network = "r50";
  int64_t classes = 2'000'000;
  int64_t batch_per_device = 16;
  placement::Precision precision = placement::Precision::kFloat32;
};

// From the model's description to its plan, without a limit of memory.
absl::StatusOr<placement::Plan> CompileModel(const ModelToCompile& model,
                                             const placement::Cluster& cluster);

// Only the choice: how it would be placed, after the search for SBPs.
absl::StatusOr<placement::PlacedModel> PlaceModel(
    const ModelToCompile& model, const placement::Cluster& cluster);

// CPU devices with this program's kernels, so that workspaces and layouts are
// real, and rates that are the same on every machine.
placement::Cluster EqualCpuCluster(int devices);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_COMPILED_MODEL_H_
