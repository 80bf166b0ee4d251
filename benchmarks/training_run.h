// TrainingRun: one training, from settings to results: data, model, plan,
// session, report. The programs (r50_2m, r50_600k, faces) are presets of it.
#ifndef FACET_BENCHMARKS_TRAINING_RUN_H_
#define FACET_BENCHMARKS_TRAINING_RUN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/job.h"
#include "benchmarks/local_devices.h"
#include "benchmarks/progress.h"
#include "benchmarks/report.h"
#include "benchmarks/settings.h"
#include "ops/data_source.h"
#include "placement/plan/plan.pb.h"
#include "runtime/data/image_folder.h"
#include "runtime/device/device.h"
#include "runtime/session.h"

namespace facet::benchmarks {

class TrainingRun {
 public:
  // Prints hardware, precision and placement; compiles; allocates; initialises.
  // `photographs`: what to train on; empty: synthetic data. settings.classes
  // is known by now. `processes`: those that train together, which all call
  // what follows alike (null: this one; not owned).
  static absl::StatusOr<std::unique_ptr<TrainingRun>> Create(
      const Settings& settings, std::vector<runtime::Photograph> photographs,
      runtime::ProcessGroup* processes);

  // Trains with live progress, then measures: what this process's devices did.
  absl::StatusOr<Results> Train();
  // Of the last checkpoint, if any was asked for: one that cannot be written
  // does not end the training.
  const absl::Status& checkpoint_status() const { return checkpoint_status_; }
  // Of --limits (limits.h); takes a second or two. After Train.
  absl::StatusOr<std::string> Limits() const;
  // To --trace_out, if given. After Train.
  absl::Status WriteTrace() const;

  runtime::Session& session() { return *session_; }
  const LocalDevices& local_devices() const { return local_; }
  const Settings& settings() const { return settings_; }
  const placement::Plan& plan() const { return plan_; }
  const runtime::Timeline& timeline() const { return *timeline_; }

 private:
  // [first, end): those that are reported.
  struct Steps {
    int64_t first = 0;
    int64_t end = 0;
    std::vector<double> seconds;
  };
  Steps MeasuredSteps() const;

  TrainingRun(const Settings& settings, runtime::ProcessGroup* processes);
  absl::Status FindDevices();
  // The step that the training goes on from.
  absl::Status FindFirstStep();
  // Into plan_. Process 0 compiles for all: others would measure other times.
  absl::Status Compile();
  absl::Status RunSteps();
  absl::Status Checkpoint();

  const Settings settings_;
  runtime::ProcessGroup* const processes_;  // Null: this one alone.
  LocalDevices local_;
  JobDevices job_;
  std::unique_ptr<ops::DataSource> data_;
  placement::Plan plan_;
  int64_t first_step_ = 0;  // Of a training that is gone on with.
  double compile_seconds_ = 0;
  int64_t resident_before_bytes_ = 0;
  std::unique_ptr<runtime::Timeline> timeline_;
  Progress progress_;
  absl::Status checkpoint_status_;
  std::unique_ptr<runtime::Session> session_;  // Last: uses all of the above.
};

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TRAINING_RUN_H_
