#include "placement/simulate/eager_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "placement/simulate/hardware.h"

namespace facet::placement {

EagerRank::EagerRank(const Hardware* hardware, int world, int device,
                     Plan* plan)
    : hardware_(hardware), world_(world), device_(device), plan_(plan) {}

Task* EagerRank::Add(const std::string& name, const std::string& stream,
                     double seconds) {
  Task* task = plan_->add_tasks();
  task->set_name(name);
  task->set_device(device_);
  task->set_stream(stream);
  task->set_part(part_);
  task->set_phase(phase_);
  task->set_rank(device_);
  task->set_num_ranks(world_);
  task->set_predicted_seconds(seconds);
  for (int predecessor : pending_[stream]) {
    task->add_waits()->set_task(predecessor);
  }
  pending_[stream].clear();
  last_[stream] = plan_->tasks_size() - 1;
  return task;
}

void EagerRank::Issue(const std::string& name) {
  Add(absl::StrCat("issue ", name), "host", hardware_->eager().issue_seconds());
  plan_->mutable_tasks(last_["host"])->set_phase("");  // No work of a phase.
}

double EagerRank::Seconds(const EagerKernel& kernel) const {
  const char* op = kernel.arithmetic == Arithmetic::kConvolution ? "conv2d"
                   : kernel.arithmetic == Arithmetic::kMatmul    ? "matmul"
                                                                 : "add";
  const Efficiency& efficiency = EfficiencyOf(*hardware_, op);
  const double flops_per_second =
      kernel.half
          ? hardware_->half_flops_per_second() * efficiency.half()
          : hardware_->float32_flops_per_second() * efficiency.float32();
  return hardware_->launch_seconds() +
         std::max(kernel.flops / flops_per_second,
                  kernel.bytes / (hardware_->memory_bytes_per_second() *
                                  efficiency.memory()));
}

void EagerRank::Run(const EagerKernel& kernel) {
  Issue(kernel.name);
  pending_[stream_].push_back(last_["host"]);
  Add(kernel.name, stream_, Seconds(kernel))->set_op("eager");
}

int EagerRank::Collect(const std::string& name, Collective::Kind kind,
                       double bytes) {
  Issue(name);
  std::vector<int>& waits = pending_["communication"];
  waits.push_back(last_["host"]);
  if (last_.count(stream_) > 0) waits.push_back(last_[stream_]);
  const int rounds = kind == Collective::ALL_REDUCE ? 2 : 1;
  const Link& link = LinkOf(*hardware_, world_);
  Task* task = Add(name, "communication",
                   hardware_->launch_seconds() +
                       rounds * (world_ - 1) * link.latency_seconds() +
                       bytes / link.bytes_per_second());
  task->mutable_collective()->set_kind(kind);
  task->mutable_collective()->set_sequence(sequence_++);
  task->mutable_collective()->set_bytes(static_cast<int64_t>(bytes));
  return last_["communication"];
}

void EagerRank::JoinStream(const std::string& stream) {
  if (last_.count(stream) > 0) Join(last_[stream]);
}

void EagerRank::Synchronize() {
  if (last_.count(stream_) > 0) pending_["host"].push_back(last_[stream_]);
}

}  // namespace facet::placement
