#include "placement/simulate/arcface_torch.h"

#include "absl/strings/str_cat.h"
#include "placement/simulate/arcface_torch_backbone.h"
#include "placement/simulate/arcface_torch_head.h"
#include "placement/simulate/eager_plan.h"
#include "placement/simulate/simulator.h"

namespace facet::placement {
namespace {

// The part of the images whose class is on this rank.
double PositiveShare(const ArcfaceTorchRun& run, int rank) {
  if (run.all_labels_on_first) return rank == 0 ? 1 : 0;
  return 1.0 / run.devices;
}

// One step of train.py on one rank.
void AddStep(const ArcfaceTorchRun& run, double positive_share,
             EagerRank* rank) {
  const int64_t local_batch = run.batch_size / run.devices;
  ArcfaceTorchBackbone backbone(run.layers, local_batch, run.half, run.devices,
                                rank);
  ArcfaceTorchHead head(run, positive_share, rank);
  backbone.Forward();
  head.ForwardBackward();
  backbone.Backward();
  backbone.Update();
  head.Update();
}

}  // namespace

Plan ArcfaceTorchPlan(const Hardware& hardware, const ArcfaceTorchRun& run) {
  Plan plan;
  plan.set_name("arcface_torch");
  Group* group = plan.add_groups();
  for (int d = 0; d < 2; ++d) {
    group->add_devices(d);
    Device* device = plan.add_devices();
    device->set_kind(hardware.kind());
    device->set_name(
        d == 0 ? absl::StrCat(hardware.kind(), ":0")
               : absl::StrCat(hardware.kind(), ":1 to ", run.devices - 1));
    EagerRank rank(&hardware, run.devices, d, &plan);
    AddStep(run, PositiveShare(run, d), &rank);
  }
  return plan;
}

double ArcfaceTorchSamplesPerSecond(const Hardware& hardware,
                                    const ArcfaceTorchRun& run) {
  const Plan plan = ArcfaceTorchPlan(hardware, run);
  return static_cast<double>(run.batch_size) / SimulateSteadyStep(plan).seconds;
}

}  // namespace facet::placement
