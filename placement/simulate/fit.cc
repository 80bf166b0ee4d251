#include "placement/simulate/fit.h"

#include <cmath>

#include "Eigen/Dense"
#include "glog/logging.h"

namespace facet::placement {
namespace {

// The rates of the group of operators that this one belongs to.
Efficiency* MutableEfficiency(const std::string& op, Hardware* hardware) {
  for (OpRates& rates : *hardware->mutable_rates()) {
    for (const std::string& name : rates.op()) {
      if (name == op) return rates.mutable_efficiency();
    }
  }
  OpRates* rates = hardware->add_rates();
  rates->add_op(op);
  *rates->mutable_efficiency() = hardware->efficiency();
  return rates->mutable_efficiency();
}

double ConvolutionRate(const Hardware& hardware, bool half) {
  Hardware copy = hardware;
  const Efficiency* e = MutableEfficiency("conv2d", &copy);
  return half ? e->half() : e->float32();
}

void SetMemory(double value, Hardware* hardware) {
  hardware->mutable_efficiency()->set_memory(value);
  for (OpRates& rates : *hardware->mutable_rates()) {
    rates.mutable_efficiency()->set_memory(value);
  }
}

// Rows: observations, then parameters (their distance from the prior).
Eigen::VectorXd Residuals(const Hardware& hardware,
                          const std::vector<Observation>& observations) {
  const std::vector<FitParameter>& parameters = FitParameters();
  Eigen::VectorXd residuals(observations.size() + parameters.size());
  Eigen::Index row = 0;
  for (const Observation& o : observations) {
    residuals(row++) = std::log(ArcfaceTorchSamplesPerSecond(hardware, o.run) /
                                o.samples_per_second) /
                       kSpeedDeviation;
  }
  for (const FitParameter& p : parameters) {
    residuals(row++) = std::log(p.get(hardware) / p.prior) / p.deviation;
  }
  return residuals;
}

Hardware Moved(const Hardware& hardware, const Eigen::VectorXd& step) {
  Hardware moved = hardware;
  const std::vector<FitParameter>& parameters = FitParameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].set(parameters[i].get(hardware) *
                          std::exp(step(static_cast<Eigen::Index>(i))),
                      &moved);
  }
  return moved;
}

}  // namespace

const std::vector<FitParameter>& FitParameters() {
  static const auto& parameters = *new std::vector<FitParameter>{
      {"convolution.float32", 1.0, 0.3,
       [](const Hardware& h) { return ConvolutionRate(h, false); },
       [](double v, Hardware* h) {
         MutableEfficiency("conv2d", h)->set_float32(v);
       }},
      {"convolution.half", 0.45, 0.3,
       [](const Hardware& h) { return ConvolutionRate(h, true); },
       [](double v, Hardware* h) {
         MutableEfficiency("conv2d", h)->set_half(v);
       }},
      {"memory", 0.85, 0.1,
       [](const Hardware& h) { return h.efficiency().memory(); }, SetMemory},
      {"eager.issue_seconds", 10e-6, 0.3,
       [](const Hardware& h) { return h.eager().issue_seconds(); },
       [](double v, Hardware* h) { h->mutable_eager()->set_issue_seconds(v); }},
  };
  return parameters;
}

Hardware FitHardware(const Hardware& hardware,
                     const std::vector<Observation>& observations) {
  constexpr int kIterations = 12;
  constexpr double kDifference = 1e-3;  // Of logarithms.
  const auto count = static_cast<Eigen::Index>(FitParameters().size());
  Hardware best = hardware;
  for (const FitParameter& p : FitParameters()) p.set(p.prior, &best);
  Eigen::VectorXd residuals = Residuals(best, observations);
  for (int i = 0; i < kIterations; ++i) {
    Eigen::MatrixXd jacobian(residuals.size(), count);
    for (Eigen::Index c = 0; c < count; ++c) {
      Eigen::VectorXd step = Eigen::VectorXd::Zero(count);
      step(c) = kDifference;
      jacobian.col(c) =
          (Residuals(Moved(best, step), observations) - residuals) /
          kDifference;
    }
    Eigen::VectorXd step = jacobian.colPivHouseholderQr().solve(-residuals);
    // Half as far, while that is better.
    bool better = false;
    for (int halving = 0; halving < 6 && !better; ++halving, step /= 2) {
      const Hardware moved = Moved(best, step);
      const Eigen::VectorXd after = Residuals(moved, observations);
      better = after.squaredNorm() < residuals.squaredNorm() * (1 - 1e-9);
      if (!better) continue;
      best = moved;
      residuals = after;
    }
    if (!better) break;
  }
  return best;
}

}  // namespace facet::placement
