// A small program for tests of sessions, and its surroundings.
#ifndef FACET_TESTS_SESSION_SMALL_SESSION_H_
#define FACET_TESTS_SESSION_SMALL_SESSION_H_

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "ops/kernel.h"
#include "placement/plan/plan.pb.h"

namespace facet::runtime {

inline constexpr int64_t kBatch = 6;
inline constexpr int64_t kPixels = int64_t{3} * 112 * 112;

// images -> flatten -> matmul with a variable -> half of it -> loss-like sum,
// fetched. No convolution: oneDNN allocates a little whenever one runs.
// On CUDA devices with the kernels `cuda`, which are real or emulated, or CPUs.
placement::Plan SmallPlan(int devices, bool split_weight,
                          const ops::KernelLibrary* cuda = nullptr);

// Records reads and fetches; can fail or block at a step.
class World : public ops::DataSource, public ops::FetchSink {
 public:
  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    std::unique_lock<std::mutex> lock(mutex_);
    last_read = std::max(last_read, step);
    most_ahead = std::max(most_ahead, step - last_fetched);
    changed_.notify_all();
    if (step == fail_read_at && begin >= fail_from_image) {
      return absl::DataLossError("the disk broke");
    }
    if (step == block_at) {
      changed_.wait(lock, [&] { return released_; });
    }
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t p = 0; p < kPixels; ++p) {
        images[(i - begin) * kPixels + p] =
            static_cast<float>((i + step + p) % 7) - 3;
      }
      if (step >= no_number_from && i == kBatch - 1) {
        images[(i - begin + 1) * kPixels - 1] = std::nanf("");
      }
      labels[i - begin] = static_cast<int32_t>(i);
    }
    return absl::OkStatus();
  }

  absl::Status OnFetch(int64_t step, absl::string_view name, int,
                       const ops::TensorView& value) override {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_EQ(name, "square");
    if (step == fail_fetch_at) return absl::AbortedError("enough");
    if (step == wait_for_read_of) {
      // Holds this step until the data stream is two steps further.
      saw_work_ahead = changed_.wait_for(lock, std::chrono::seconds(20),
                                         [&] { return last_read >= step + 1; });
    }
    last_fetched = step;
    last_value = *value.as<float>();
    return absl::OkStatus();
  }

  void Release() {
    std::lock_guard<std::mutex> lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

  int64_t fail_read_at = -1, block_at = -1, fail_fetch_at = -1;
  int64_t fail_from_image = 0;         // Of the global batch.
  int64_t no_number_from = INT64_MAX;  // The last pixel of the last image.
  int64_t wait_for_read_of = -1;
  int64_t last_read = -1, last_fetched = -1, most_ahead = 0;
  bool saw_work_ahead = false;
  float last_value = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
};

}  // namespace facet::runtime

#endif  // FACET_TESTS_SESSION_SMALL_SESSION_H_
