// EagerPlan: a program as an eager framework runs it, written down as a plan,
// so that the same simulator runs it. Eager means: a host thread issues one
// kernel after the other, each reads its operands from memory and writes its
// result there, and the host runs ahead of the device until it asks for a
// value. Nothing is fused, nothing is planned.
#ifndef FACET_PLACEMENT_SIMULATE_EAGER_PLAN_H_
#define FACET_PLACEMENT_SIMULATE_EAGER_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "placement/plan/plan.pb.h"
#include "placement/simulate/hardware.pb.h"

namespace facet::placement {

// Which units of the device do a kernel's arithmetic. The name is the operator
// of our own whose rates (Hardware::rates) apply.
enum class Arithmetic { kNone, kMatmul, kConvolution };

// What one kernel does.
struct EagerKernel {
  std::string name;
  double bytes = 0;  // Moved between memory and the device, both ways.
  double flops = 0;
  Arithmetic arithmetic = Arithmetic::kNone;
  bool half = false;  // The arithmetic's precision.
};

// Adds the tasks of one rank to a plan. Streams: "host" issues; "compute",
// "prepare" and "communication" are queues of the device.
class EagerRank {
 public:
  // `world` devices take part in the collectives; the plan may show fewer,
  // where several do the same at the same times. Neither is owned.
  EagerRank(const Hardware* hardware, int world, int device, Plan* plan);

  // For the tasks from here on (reports).
  void SetPart(const std::string& part, const std::string& phase) {
    part_ = part;
    phase_ = phase;
  }
  // The stream that kernels are issued to from here on.
  void SetStream(const std::string& stream) { stream_ = stream; }

  void Run(const EagerKernel& kernel);
  // An elementwise kernel or the like: `bytes` moved.
  void Move(const std::string& name, double bytes) { Run({name, bytes}); }

  // A collective as torch.distributed runs it: on the communication stream,
  // after what the current stream has. `bytes`: that a device sends. Returns
  // the task, for Join.
  int Collect(const std::string& name, Collective::Kind kind, double bytes);
  // What the current stream gets from here on waits for this task...
  void Join(int task) { pending_[stream_].push_back(task); }
  // ... or for all that this stream has so far.
  void JoinStream(const std::string& stream);
  // The host waits until the current stream has run all it has.
  void Synchronize();

 private:
  Task* Add(const std::string& name, const std::string& stream, double seconds);
  void Issue(const std::string& name);
  double Seconds(const EagerKernel& kernel) const;

  const Hardware* hardware_;
  const int world_;
  const int device_;
  Plan* plan_;
  std::string stream_ = "compute";
  std::string part_;
  std::string phase_;
  int sequence_ = 0;                                 // Of the next collective.
  std::map<std::string, int> last_;                  // Task, by stream.
  std::map<std::string, std::vector<int>> pending_;  // Waits, by stream.
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_SIMULATE_EAGER_PLAN_H_
