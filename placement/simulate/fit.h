// Fit: the parameters of a hardware profile that no data sheet has, from
// measured speeds of arcface_torch. Least squares over named parameters.
#ifndef FACET_PLACEMENT_SIMULATE_FIT_H_
#define FACET_PLACEMENT_SIMULATE_FIT_H_

#include <functional>
#include <string>
#include <vector>

#include "placement/simulate/arcface_torch.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::placement {

struct Observation {
  ArcfaceTorchRun run;
  double samples_per_second = 0;
};

// One number of a profile, above 0.
struct FitParameter {
  std::string name;
  // What it would be taken for without measurements, and how far off (standard
  // deviation of its logarithm) that may be: few observations must not carry it
  // to where no hardware is.
  double prior = 1;
  double deviation = 0.3;
  std::function<double(const Hardware&)> get;
  std::function<void(double, Hardware*)> set;
};

// convolution.float32, convolution.half: what convolutions reach of the peak;
// memory: what any kernel reaches of the bandwidth; eager.issue_seconds.
const std::vector<FitParameter>& FitParameters();

// Minimises, by Gauss-Newton in logarithms,
//   sum (log(simulated / measured) / kSpeedDeviation)^2
//   + sum (log(value / prior) / deviation)^2.
// `hardware` gives everything else. Deterministic.
Hardware FitHardware(const Hardware& hardware,
                     const std::vector<Observation>& observations);

// Published speeds are rounded and vary between runs by about this much.
inline constexpr double kSpeedDeviation = 0.02;

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_FIT_H_
