// Progress: receives the loss of every step, shows a live line, and stops a
// run whose loss is no longer finite.
#ifndef FACET_BENCHMARKS_PROGRESS_H_
#define FACET_BENCHMARKS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch_sink.h"

namespace facet::benchmarks {

class Progress : public ops::FetchSink {
 public:
  Progress(int64_t total_steps, int64_t batch_size, bool keep_going);

  // Steps begin with this one; `total_steps` is how many there are. Before the
  // run.
  void set_first_step(int64_t first_step) { first_step_ = first_step; }

  // Asked when the loss of a step is not finite: which tensor was the first.
  // Empty if that is not known. `looks_at_all`: --check_finite is given.
  void set_first_non_finite(
      std::function<std::string(int64_t step)> first_non_finite,
      bool looks_at_all) {
    first_non_finite_ = std::move(first_non_finite);
    looks_at_all_ = looks_at_all;
  }

  absl::Status OnFetch(int64_t step, absl::string_view name, int rank,
                       const ops::TensorView& value) override;

  // Ends the live line. Call before printing anything else.
  void Finish();

  // By step, warm-up included. After the run.
  const std::vector<double>& losses() const { return losses_; }

 private:
  void Show(int64_t step, double loss);

  const int64_t total_steps_;
  int64_t first_step_ = 0;
  const int64_t batch_size_;
  const bool keep_going_;
  const bool is_terminal_;
  std::function<std::string(int64_t step)> first_non_finite_;
  bool looks_at_all_ = false;
  std::mutex mutex_;
  std::vector<double> losses_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_shown_;
  bool line_open_ = false;
};

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_PROGRESS_H_
