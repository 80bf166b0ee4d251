#include "benchmarks/tuning/local_kernel_timer.h"

#include <chrono>
#include <cstdio>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "benchmarks/tuning/time_kernel.h"
#include "glog/logging.h"
#include "placement/kernel_spec_text.h"

namespace facet::benchmarks {
namespace {

std::string KeyOf(const placement::KernelChoice& choice,
                  const ops::Attributes& alternative) {
  ops::KernelSpec spec = choice.spec;
  spec.attributes = alternative;
  return absl::StrCat(choice.device_kind, " ", choice.cores, " ",
                      placement::KernelSpecText(choice.op, spec));
}

}  // namespace

LocalKernelTimer::LocalKernelTimer(std::vector<LocalDevice> devices,
                                   std::string machine, std::string path)
    : devices_(std::move(devices)),
      machine_(std::move(machine)),
      path_(std::move(path)) {
  if (!path_.empty()) known_ = ReadKernelTimes(path_, machine_);
}

std::vector<std::vector<absl::StatusOr<double>>> LocalKernelTimer::Measure(
    const std::vector<const placement::KernelChoice*>& choices) const {
  std::vector<std::vector<absl::StatusOr<double>>> seconds;
  for (const placement::KernelChoice* choice : choices) {
    seconds.emplace_back(choice->alternatives.size(),
                         absl::NotFoundError("no such device is here"));
  }
  // Equal devices take turns.
  std::vector<std::vector<size_t>> of_device(devices_.size());
  for (size_t c = 0; c < choices.size(); ++c) {
    std::vector<size_t>* least = nullptr;
    for (size_t d = 0; d < devices_.size(); ++d) {
      if (devices_[d].kind != choices[c]->device_kind ||
          devices_[d].cores != choices[c]->cores) {
        continue;
      }
      if (least == nullptr || of_device[d].size() < least->size()) {
        least = &of_device[d];
      }
    }
    if (least != nullptr) least->push_back(c);
  }
  std::vector<std::thread> threads;
  for (size_t d = 0; d < devices_.size(); ++d) {
    threads.emplace_back([&, d] {
      runtime::Device* device = devices_[d].device;
      const absl::Status status =
          device->EnterStream(ops::StreamKind::kCompute);
      if (!status.ok()) {
        LOG(WARNING) << device->name() << " cannot measure: " << status;
        return;
      }
      for (size_t c : of_device[d]) {
        seconds[c] = TimeKernel(*choices[c], device);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return seconds;
}

std::vector<std::vector<double>> LocalKernelTimer::Seconds(
    const std::vector<placement::KernelChoice>& choices) {
  std::vector<const placement::KernelChoice*> unknown;
  size_t kernels = 0;
  for (const placement::KernelChoice& choice : choices) {
    // All alternatives or none: times of one occasion compare best.
    for (const ops::Attributes& alternative : choice.alternatives) {
      if (known_.count(KeyOf(choice, alternative)) > 0) continue;
      unknown.push_back(&choice);
      kernels += choice.alternatives.size();
      break;
    }
  }
  if (!unknown.empty()) {
    std::printf("measuring %zu kernels, once on this machine ... ", kernels);
    std::fflush(stdout);
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::vector<absl::StatusOr<double>>> measured =
        Measure(unknown);
    SecondsByKernel to_keep;
    for (size_t u = 0; u < unknown.size(); ++u) {
      for (size_t a = 0; a < measured[u].size(); ++a) {
        const std::string key = KeyOf(*unknown[u], unknown[u]->alternatives[a]);
        known_[key] =
            measured[u][a].value_or(std::numeric_limits<double>::infinity());
        // What did not run may do so the next time, but for what never does.
        const absl::Status& status = measured[u][a].status();
        if (status.ok() || absl::IsUnimplemented(status)) {
          to_keep[key] = known_[key];
        }
      }
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    spent_seconds_ += seconds;
    std::printf("%.1f s%s\n", seconds,
                path_.empty() ? "" : absl::StrCat("; kept in ", path_).c_str());
    if (!path_.empty()) {
      const absl::Status status = AddKernelTimes(path_, machine_, to_keep);
      LOG_IF(WARNING, !status.ok())
          << "the times are not kept: " << status.message();
    }
  }
  std::vector<std::vector<double>> answers;
  for (const placement::KernelChoice& choice : choices) {
    std::vector<double>& answer = answers.emplace_back();
    for (const ops::Attributes& alternative : choice.alternatives) {
      answer.push_back(known_.at(KeyOf(choice, alternative)));
    }
  }
  return answers;
}

}  // namespace facet::benchmarks
