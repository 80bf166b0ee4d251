#include "benchmarks/training_run.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/limits.h"
#include "benchmarks/primitives.h"
#include "benchmarks/published.h"
#include "benchmarks/step_times.h"
#include "benchmarks/tuning/local_kernel_timer.h"
#include "glog/logging.h"
#include "models/train_graph.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/compile.h"
#include "placement/plan/firing.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/plan_text.h"
#include "placement/simulate/simulator.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/data/synthetic.h"
#include "runtime/device/host_memory.h"

namespace facet::benchmarks {
namespace {

// Every task of the first so many steps is recorded, for times and trace.
constexpr int64_t kRecordedSteps = 200;

placement::CompileOptions ToCompileOptions(const Settings& s,
                                           int64_t first_step,
                                           ops::TensorId loss) {
  placement::CompileOptions options = placement::CompileOptionsOf(s, loss);
  options.optimizer.total_steps =
      s.lr_decay ? first_step + s.warmup + s.steps : 0;
  if (s.conv == "direct" || s.conv == "winograd") {
    options.preferred_kernels.Set("algorithm", s.conv);
  }
  return options;
}

LocalKernelTimer TimerOf(const LocalDevices& local) {
  std::vector<LocalKernelTimer::LocalDevice> devices;
  for (size_t d = 0; d < local.devices.size(); ++d) {
    const placement::DeviceSpec& spec = local.cluster.devices[d];
    devices.push_back({local.devices[d], spec.kind, spec.cores});
  }
  return LocalKernelTimer(std::move(devices), local.machine,
                          KernelTimePath(local.machine));
}

}  // namespace

TrainingRun::TrainingRun(const Settings& settings,
                         runtime::ProcessGroup* processes)
    : settings_(settings),
      processes_(processes),
      progress_(settings.warmup + settings.steps, settings.batch_size,
                settings.keep_going) {}

absl::Status TrainingRun::FindDevices() {
  ASSIGN_OR_RETURN(local_, UseLocalDevices(placement::LocalDevicesOf(settings_),
                                           processes_));
  ASSIGN_OR_RETURN(
      job_, GatherDevices(local_, placement::AxesOf(settings_), processes_));
  const bool rounds = local_.cluster.devices[0].rounded_flops_per_second > 0;
  std::printf("%s; %s\n", local_.description.c_str(),
              PrecisionText(settings_, rounds).c_str());
  if (!job_.description.empty()) {
    std::printf("%s\n", job_.description.c_str());
  }
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status TrainingRun::FindFirstStep() {
  const Settings& s = settings_;
  if (s.resume.empty()) return absl::OkStatus();
  std::string step;
  if (processes_ == nullptr || processes_->rank() == 0) {
    ASSIGN_OR_RETURN(first_step_, runtime::CheckpointStep(s.resume));
    step = absl::StrCat(first_step_);
  }
  if (processes_ != nullptr) {
    RETURN_IF_ERROR(runtime::Broadcast(*processes_, &step));
    CHECK(absl::SimpleAtoi(step, &first_step_)) << step;
  }
  progress_.set_first_step(first_step_);
  // ParseSettings could not: it did not know where the training goes on.
  const int64_t total = first_step_ + s.warmup + s.steps;
  if (s.lr_decay && s.lr_warmup >= total) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--lr_warmup=", s.lr_warmup,
        ": the rise must end before the last of the ", total, " steps (",
        first_step_, " of ", s.resume,
        ", --warmup and --steps); use fewer, more steps or --nolr_decay"));
  }
  return absl::OkStatus();
}

absl::Status TrainingRun::Compile() {
  std::string bytes;
  if (processes_ == nullptr || processes_->rank() == 0) {
    const Settings& s = settings_;
    const auto start = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(
        const models::TrainModel model,
        models::BuildTrainGraph(placement::TrainConfigOf(s), ops::FindOp));
    if (!s.dump_passes.empty()) {
      std::error_code error;
      std::filesystem::create_directories(s.dump_passes, error);
      if (error) {
        return absl::InvalidArgumentError(
            absl::StrCat("--dump_passes=", s.dump_passes,
                         ": cannot make the folder: ", error.message()));
      }
    }
    placement::Cluster cluster = job_.cluster;
    std::optional<LocalKernelTimer> timer;
    if (s.conv == "auto") {
      cluster.kernel_timer = &timer.emplace(TimerOf(local_));
    }
    ASSIGN_OR_RETURN(plan_, placement::Compile(
                                model.graph, cluster,
                                ToCompileOptions(s, first_step_, model.loss)));
    compile_seconds_ =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    // Which it said itself, and which the next run does not spend.
    if (timer.has_value()) compile_seconds_ -= timer->spent_seconds();
    if (processes_ != nullptr) bytes = plan_.SerializeAsString();
  }
  if (processes_ == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(runtime::Broadcast(*processes_, &bytes));
  if (processes_->rank() == 0 || plan_.ParseFromString(bytes)) {
    return absl::OkStatus();
  }
  return absl::InternalError(
      "process 0 has sent a plan that cannot be read; do all processes run the "
      "same build?");
}

absl::StatusOr<std::unique_ptr<TrainingRun>> TrainingRun::Create(
    const Settings& s, std::vector<runtime::Photograph> photographs,
    runtime::ProcessGroup* processes) {
  std::unique_ptr<TrainingRun> run(new TrainingRun(s, processes));
  RETURN_IF_ERROR(run->FindDevices());
  RETURN_IF_ERROR(run->FindFirstStep());
  if (photographs.empty()) {
    ASSIGN_OR_RETURN(run->data_, runtime::CreateSyntheticSource(
                                     {.classes = s.classes, .seed = s.seed}));
  } else {
    ASSIGN_OR_RETURN(run->data_,
                     runtime::CreateFolderSource(
                         std::move(photographs),
                         {.seed = s.seed,
                          .batch_size = s.batch_size,
                          .max_shift = static_cast<int>(s.max_shift)}));
  }
  RETURN_IF_ERROR(run->Compile());
  std::printf("\n%s\n", placement::PlacementTable(run->plan_).c_str());
  std::printf("compiled in %.2f s; initialising ...\n", run->compile_seconds_);
  std::fflush(stdout);
  if (!s.plan_out.empty()) {
    RETURN_IF_ERROR(placement::WritePlan(run->plan_, s.plan_out));
  }

  malloc_trim(0);  // What compiling needed is not part of the training.
  run->resident_before_bytes_ = runtime::ProcessResidentBytes();
  run->timeline_ = std::make_unique<runtime::Timeline>(
      run->plan_, std::min(s.warmup + s.steps, kRecordedSteps));
  runtime::SessionOptions options;
  options.seed = s.seed;
  options.processes = processes;
  options.replay = s.cuda_graph;
  options.check_finite = s.check_finite;
  options.data_source = run->data_.get();
  options.fetch_sink = &run->progress_;
  options.timeline = run->timeline_.get();
  options.first_step = run->first_step_;
  ASSIGN_OR_RETURN(run->session_, runtime::Session::Create(
                                      run->plan_, run->job_.devices, options));
  // With a loss scale, gradients that overflow are usual in a step, and are not
  // taken: they explain nothing later.
  const bool may_overflow = std::any_of(
      run->plan_.tasks().begin(), run->plan_.tasks().end(),
      [](const placement::Task& t) { return t.op() == "loss_scale_update"; });
  run->progress_.set_first_non_finite(
      [session = run->session_.get(), may_overflow](int64_t step) {
        return session->FirstNonFinite(may_overflow ? step : -1);
      },
      s.check_finite);
  if (!s.resume.empty()) {
    RETURN_IF_ERROR(runtime::LoadCheckpoint(s.resume, run->session_.get()));
    absl::PrintF("goes on from %s, after step %d\n", s.resume,
                 run->first_step_);
  }
  return run;
}

absl::Status TrainingRun::Checkpoint() {
  progress_.Finish();
  const int64_t step = first_step_ + session_->steps_done();
  const auto start = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(runtime::SaveCheckpoint(
      settings_.checkpoint, step,
      {{"model", plan_.name()}, {"seed", absl::StrCat(settings_.seed)}},
      session_.get()));
  absl::PrintF(
      "%s: step %d, written in %.1f s\n", settings_.checkpoint, step,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count());
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status TrainingRun::RunSteps() {
  const int64_t end = first_step_ + settings_.warmup + settings_.steps;
  const int64_t every = settings_.checkpoint_every;
  for (int64_t step = first_step_; step < end;) {
    const int64_t next =
        every == 0 ? end : std::min(end, (step / every + 1) * every);
    RETURN_IF_ERROR(session_->Run(next - step));
    step = next;
    if (settings_.checkpoint.empty()) continue;
    checkpoint_status_ = Checkpoint();
    LOG_IF(ERROR, !checkpoint_status_.ok())
        << "no checkpoint of step " << step << ": "
        << checkpoint_status_.message();
  }
  return absl::OkStatus();
}

absl::StatusOr<Results> TrainingRun::Train() {
  const absl::Status status = RunSteps();
  progress_.Finish();
  RETURN_IF_ERROR(status);

  Results r;
  r.hardware = local_.hardware;
  r.precision = settings_.half.has_value()
                    ? std::string(ops::DataTypeName(*settings_.half))
                    : "float32";
  r.weight_type = std::string(ops::DataTypeName(settings_.storage.weight));
  r.momentum_type = std::string(ops::DataTypeName(settings_.storage.momentum));
  r.classes = settings_.classes;
  r.batch_size = settings_.batch_size;
  r.devices = settings_.devices;
  r.partial_fc = settings_.partial_fc;
  const Steps steps = MeasuredSteps();
  r.step_seconds = steps.seconds;
  r.phases = PhaseSeconds(plan_, *timeline_, steps.first, steps.end);
  r.runtime_seconds = RuntimeSeconds(plan_, *timeline_, steps.first, steps.end);
  r.losses = progress_.losses();
  const auto memory = session_->memory();
  int64_t planned_on_host = 0;
  for (size_t d = 0; d < memory.size(); ++d) {
    if (job_.devices[d] == nullptr) continue;  // Another process's.
    r.device_bytes.push_back({plan_.devices(static_cast<int>(d)).name(),
                              memory[d].planned_bytes,
                              memory[d].resident_bytes});
    if (job_.devices[d]->host_accessible()) {
      planned_on_host += memory[d].planned_bytes;
    } else {
      r.device_peak_bytes =
          std::max(r.device_peak_bytes, memory[d].resident_bytes);
    }
  }
  if (r.device_peak_bytes == 0) {
    r.predicted_peak_bytes = resident_before_bytes_ + planned_on_host;
  }
  r.process_peak_bytes = runtime::ProcessPeakBytes();
  r.predicted_step_seconds = plan_.predicted_step_seconds();
  r.predicted_phases = placement::SimulatedPhases(plan_);
  r.compile_seconds = compile_seconds_;
  r.published = PublishedFigures(settings_.network, settings_.classes,
                                 settings_.half.has_value());
  return r;
}

TrainingRun::Steps TrainingRun::MeasuredSteps() const {
  const std::vector<double> all = StepSeconds(plan_, *timeline_);
  Steps steps;
  steps.end = static_cast<int64_t>(all.size());
  // The warm-up is left out unless the record ended within it.
  const int64_t period = std::min<int64_t>(placement::Period(plan_), steps.end);
  steps.first = std::min(settings_.warmup, steps.end - period);
  steps.seconds = MeanOfPeriods(all, steps.first, period);
  steps.end = steps.first + period * static_cast<int64_t>(steps.seconds.size());
  return steps;
}

absl::StatusOr<std::string> TrainingRun::Limits() const {
  ASSIGN_OR_RETURN(
      const PrimitiveRates rates,
      MeasurePrimitives(local_.devices,
                        settings_.half.value_or(ops::DataType::kFloat32)));
  const Steps steps = MeasuredSteps();
  return LimitsText(
      FindWork(plan_, *timeline_, steps.first, steps.end, rates, ops::FindOp),
      rates, Median(steps.seconds));
}

absl::Status TrainingRun::WriteTrace() const {
  return settings_.trace_out.empty()
             ? absl::OkStatus()
             : timeline_->WriteTrace(plan_, settings_.trace_out);
}

}  // namespace facet::benchmarks
