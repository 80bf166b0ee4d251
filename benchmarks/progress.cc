#include "benchmarks/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet::benchmarks {
namespace {

using Clock = std::chrono::steady_clock;

std::string Duration(double seconds) {
  const auto total = static_cast<int64_t>(std::lround(seconds));
  if (total < 100) return absl::StrCat(total, " s");
  if (total < 6000) {
    return absl::StrFormat("%d:%02d min", total / 60, total % 60);
  }
  return absl::StrFormat("%d:%02d h", total / 3600, total / 60 % 60);
}

}  // namespace

Progress::Progress(int64_t total_steps, int64_t batch_size, bool keep_going)
    : total_steps_(total_steps),
      batch_size_(batch_size),
      keep_going_(keep_going),
      is_terminal_(isatty(STDOUT_FILENO) == 1),
      start_(Clock::now()) {}

absl::Status Progress::OnFetch(int64_t step, absl::string_view name, int,
                               const ops::TensorView& value) {
  if (name != "loss") return absl::OkStatus();
  const double loss = *value.as<float>();
  std::lock_guard<std::mutex> lock(mutex_);
  losses_.push_back(loss);
  Show(step, loss);
  if (std::isfinite(loss) || keep_going_) return absl::OkStatus();
  const std::string first =
      first_non_finite_ != nullptr ? first_non_finite_(step) : "";
  std::string where;
  if (!first.empty()) {
    where = absl::StrCat("\nFirst seen: ", first, ".");
  } else if (!looks_at_all_) {
    where =
        "\n--check_finite says where the first such value came from: it looks "
        "at all of them, which is slow.";
  }
  return absl::OutOfRangeError(absl::StrCat(
      "the loss is ", loss, " in step ", step, ".", where,
      "\nWhat usually helps: a lower --lr, a warm-up, --clip_norm, images "
      "that are normalised, or float32 instead of --half_type=float16. "
      "--keep_going goes on regardless."));
}

void Progress::Show(int64_t step, double loss) {
  const Clock::time_point now = Clock::now();
  const int64_t done = step - first_step_;
  const bool last = done + 1 == total_steps_;
  // A terminal's line is redrawn; elsewhere a line every few seconds is
  // enough, and all lines of a short run.
  const double since = std::chrono::duration<double>(now - last_shown_).count();
  if (!last && done > 0 && since < (is_terminal_ ? 0.1 : 2.0)) return;
  last_shown_ = now;
  if (done == 0) start_ = now;
  std::string line = absl::StrFormat("step %d/%d  loss %.4f", step + 1,
                                     first_step_ + total_steps_, loss);
  if (done > 0) {
    const double per_step =
        std::chrono::duration<double>(now - start_).count() / done;
    absl::StrAppendFormat(&line, "  %.2f samples/s  %s left",
                          batch_size_ / per_step,
                          Duration(per_step * (total_steps_ - done - 1)));
  }
  if (is_terminal_) {
    std::printf("\r%-78s", line.c_str());
    line_open_ = true;
  } else {
    std::printf("%s\n", line.c_str());
  }
  std::fflush(stdout);
}

void Progress::Finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (line_open_) std::printf("\n");
  line_open_ = false;
}

}  // namespace facet::benchmarks
