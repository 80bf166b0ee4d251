#include "runtime/actor/lane.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

using placement::FiringEdge;

// The lane whose thread this is.
thread_local Lane* current_lane = nullptr;

// Most tokens that can wait in the mailbox of a lane: an edge never carries
// more than the tokens of a cycle through it, at most those at the start of
// its register's credit edges, or one.
size_t MailboxCapacity(const LaneShared& shared,
                       const std::vector<int>& tasks) {
  size_t capacity = 1;
  for (int task : tasks) {
    for (int edge : shared.firing->in_edges(task)) {
      const FiringEdge& e = shared.edges[edge];
      const int credits =
          e.reg >= 0 ? shared.plan->registers(e.reg).credits() : 1;
      capacity += 1 + std::max(credits, e.tokens);
    }
  }
  return capacity;
}

absl::Status WithTask(const absl::Status& status, const LaneShared& shared,
                      int task, int64_t step) {
  if (status.ok()) return status;
  const placement::Plan& plan = *shared.plan;
  const placement::Task& t = plan.tasks(task);
  return absl::Status(
      status.code(),
      absl::StrCat(
          plan.devices(t.device()).name(), ", task ", t.name(),
          t.op().empty() ? "" : absl::StrCat(" (", t.op(), ")"),
          step >= 0 ? absl::StrCat(", step ", shared.first_step + step) : "",
          ": ", status.message()));
}

}  // namespace

absl::Status CreateTaskEvents(const std::vector<Device*>& devices,
                              LaneShared* shared) {
  const placement::Plan& plan = *shared->plan;
  shared->task_events.resize(plan.tasks_size());
  auto link = [&](int from, int to) -> absl::Status {
    std::unique_ptr<Event>& event = shared->task_events[from];
    if (shared->lane_of_task[from] == shared->lane_of_task[to] ||
        event != nullptr) {
      return absl::OkStatus();
    }
    Device* device = devices[plan.tasks(from).device()];
    ASSIGN_OR_RETURN(event, device->CreateEvent(/*timed=*/false));
    return absl::OkStatus();
  };
  for (const FiringEdge& edge : shared->edges) {
    RETURN_IF_ERROR(link(edge.from, edge.to));
  }
  shared->once_writer.assign(plan.registers_size(), -1);
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (!plan.tasks(t).once()) continue;
    for (int reg : plan.tasks(t).outputs()) shared->once_writer[reg] = t;
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    for (int reg : plan.tasks(t).inputs()) {
      const int once = shared->once_writer[reg];
      if (once >= 0) RETURN_IF_ERROR(link(once, t));
    }
  }
  return absl::OkStatus();
}

Lane::Lane(LaneShared* shared, Device* device, ops::StreamKind kind,
           std::vector<int> tasks, Prepare prepare)
    : shared_(shared),
      device_(device),
      kind_(kind),
      tasks_(std::move(tasks)),
      prepare_(std::move(prepare)),
      mailbox_(MailboxCapacity(*shared, tasks_)) {
  received_.reserve(mailbox_.capacity());
}

Lane::~Lane() { CHECK(!thread_.joinable()); }

void Lane::Join() {
  if (!thread_.joinable()) return;
  CHECK(shared_->stop.load());
  mailbox_.Wake();
  thread_.join();
}

void Lane::Start() {
  thread_ = std::thread([this] { Main(); });
}

void Lane::Advance(int64_t steps) {
  target_.store(steps, std::memory_order_release);
  mailbox_.Wake();
}

void Lane::Main() {
  current_lane = this;
  const absl::Status status = RunSteps();
  current_task_.store(-1);
  // Cancelled: somebody else failed first and has reported it.
  if (!status.ok() && !shared_->stop.load()) shared_->fail(status);
  stopped_.store(true, std::memory_order_release);
  shared_->on_progress();
}

absl::Status Lane::PrepareTasks() {
  RETURN_IF_ERROR(device_->EnterStream(kind_));
  ASSIGN_OR_RETURN(stream_, device_->CreateStream(kind_));
  for (std::unique_ptr<Event>& event : step_events_) {
    ASSIGN_OR_RETURN(event, device_->CreateEvent(/*timed=*/false));
  }
  const placement::Plan& plan = *shared_->plan;
  for (int task : tasks_) {
    if (shared_->stop.load()) return absl::OkStatus();
    absl::StatusOr<TaskRunner> runner = prepare_(task, stream_.get());
    RETURN_IF_ERROR(WithTask(runner.status(), *shared_, task, -1));
    runners_.push_back(*std::move(runner));
    waits_.emplace_back();
    auto wait_for = [&](int from) {
      const Event* event = shared_->task_events[from].get();
      if (event == nullptr || shared_->lane_of_task[from] == this) return;
      std::vector<const Event*>& waits = waits_.back();
      if (std::find(waits.begin(), waits.end(), event) == waits.end()) {
        waits.push_back(event);
      }
    };
    for (int edge : shared_->firing->in_edges(task)) {
      wait_for(shared_->edges[edge].from);
    }
    // Tasks that run once have no edges: other lanes' threads start when all
    // are done, other streams know nothing of that.
    for (int reg : plan.tasks(task).inputs()) {
      if (const int once = shared_->once_writer[reg]; once >= 0) wait_for(once);
    }
  }
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (!plan.tasks(tasks_[i]).once()) continue;
    if (shared_->stop.load()) return absl::OkStatus();
    RETURN_IF_ERROR(Fire(static_cast<int>(i), -1));
  }
  if (device_->asynchronous() && shared_->timeline != nullptr) {
    ASSIGN_OR_RETURN(clock_, DeviceClock::Create(device_, stream_.get(),
                                                 tasks_.size(), kStepsAhead));
  }
  return EndStep(-1);
}

absl::Status Lane::RunSteps() {
  RETURN_IF_ERROR(PrepareTasks());
  for (int64_t step = 0;; ++step) {
    if (step >= target_.load(std::memory_order_acquire)) {
      RETURN_IF_ERROR(AwaitDevice(step - 1));
    }
    steps_done_.store(step, std::memory_order_release);
    if (step >= target_.load(std::memory_order_acquire)) {
      current_task_.store(-1);
      shared_->on_progress();
    }
    while (step >= target_.load(std::memory_order_acquire)) {
      if (shared_->stop.load()) return absl::OkStatus();
      Receive();
    }
    if (step >= kStepsAhead) RETURN_IF_ERROR(AwaitDevice(step - kStepsAhead));
    RETURN_IF_ERROR(RunStep(step));
    if (shared_->stop.load()) return absl::OkStatus();
  }
}

absl::Status Lane::RunStep(int64_t step) {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const int task = tasks_[i];
    if (shared_->plan->tasks(task).once()) continue;
    if (!Await(task)) return absl::OkStatus();
    shared_->firing->Begin(task);
    RETURN_IF_ERROR(Fire(static_cast<int>(i), step));
  }
  return EndStep(step);
}

absl::Status Lane::EndStep(int64_t step) {
  if (!device_->asynchronous()) return absl::OkStatus();
  return stream_->Record(StepEvent(step));
}

absl::Status Lane::AwaitDevice(int64_t step) {
  if (!device_->asynchronous()) return absl::OkStatus();
  current_since_ns_.store(NowNs());
  awaits_device_.store(true);
  // Asks instead of sleeping in the driver: a session that stops must not wait
  // for a device that hangs.
  while (!shared_->stop.load()) {
    absl::StatusOr<bool> passed = StepEvent(step).HasPassed();
    if (!passed.ok()) {
      return absl::Status(
          passed.status().code(),
          absl::StrCat(device_->name(), ", stream ", ops::StreamKindName(kind_),
                       ", step ", step, ": ", passed.status().message()));
    }
    if (*passed) break;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  awaits_device_.store(false);
  if (shared_->stop.load()) return absl::OkStatus();
  while (first_unrecorded_step_ <= step) {
    RETURN_IF_ERROR(RecordStep(first_unrecorded_step_++));
  }
  return absl::OkStatus();
}

absl::Status Lane::RecordStep(int64_t step) {
  if (!IsTimed(step)) return absl::OkStatus();
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (shared_->plan->tasks(tasks_[i]).once()) continue;
    ASSIGN_OR_RETURN(const DeviceClock::Interval when, clock_->When(i, step));
    shared_->timeline->Record({tasks_[i], step, when.start_ns, when.end_ns});
  }
  return absl::OkStatus();
}

bool Lane::Await(int task) {
  if (shared_->stop.load(std::memory_order_relaxed)) return false;
  if (shared_->firing->CanFire(task)) return true;
  current_since_ns_.store(NowNs());
  current_task_.store(task);
  waiting_.store(true);
  while (!shared_->firing->CanFire(task)) {
    Receive();
    if (shared_->stop.load()) return false;
  }
  waiting_.store(false);
  return true;
}

void Lane::Receive() {
  mailbox_.Take(&received_);
  for (int edge : received_) shared_->firing->Arrive(edge);
  std::lock_guard<std::mutex> lock(report_mutex_);
  if (!report_wanted_) return;
  report_wanted_ = false;
  const int task = current_task_.load();
  report_ = task >= 0 ? MissingTokens(task) : "";
  report_ready_.notify_one();
}

absl::Status Lane::Fire(int position, int64_t step) {
  const int task = tasks_[position];
  const int64_t start_ns = NowNs();
  current_since_ns_.store(start_ns, std::memory_order_relaxed);
  current_task_.store(task, std::memory_order_relaxed);
  const absl::Status status = RunTask(position, step);
  // Before the tokens leave: sending them is the runtime's work, not the
  // task's.
  const int64_t end_ns = runners_[position].works() ? NowNs() : start_ns;
  if (status.ok()) Finish(position, step);
  if (shared_->timeline != nullptr && step >= 0 && !device_->asynchronous()) {
    shared_->timeline->Record({task, step, start_ns, end_ns});
  }
  return WithTask(status, *shared_, task, step);
}

absl::Status Lane::RunTask(int position, int64_t step) {
  for (const Event* event : waits_[position]) {
    RETURN_IF_ERROR(stream_->Wait(*event));
  }
  const bool is_timed = IsTimed(step);
  if (is_timed) RETURN_IF_ERROR(clock_->Begin(position, step));
  RETURN_IF_ERROR(runners_[position].Run(step));
  if (is_timed) RETURN_IF_ERROR(clock_->End(position, step));
  Event* event = shared_->task_events[tasks_[position]].get();
  return event == nullptr ? absl::OkStatus() : stream_->Record(*event);
}

bool Lane::IsTimed(int64_t step) const {
  return clock_ != nullptr && step >= 0 && step < shared_->timeline->steps();
}

void Lane::Finish(int position, int64_t step) {
  const int task = tasks_[position];
  // Before the tokens leave: then the output may be overwritten.
  if (const int bad = runners_[position].NonFiniteOutput(); bad >= 0) {
    shared_->on_non_finite(task, shared_->plan->tasks(task).outputs(bad), step);
  }
  shared_->finished.fetch_add(1, std::memory_order_relaxed);
  if (shared_->plan->tasks(task).once()) return;
  for (int edge : shared_->firing->out_edges(task)) {
    shared_->lane_of_task[shared_->edges[edge].to]->Deliver(edge);
  }
}

void Lane::Deliver(int edge) {
  if (current_lane == this) {
    shared_->firing->Arrive(edge);
  } else {
    mailbox_.Post(edge);
  }
}

std::string Lane::MissingTokens(int task) const {
  const placement::Plan& plan = *shared_->plan;
  std::vector<std::string> missing;
  for (int edge : shared_->firing->in_edges(task)) {
    if (shared_->firing->tokens(edge) > 0) continue;
    const FiringEdge& e = shared_->edges[edge];
    const std::string& from = plan.tasks(e.from).name();
    switch (e.kind) {
      case FiringEdge::Kind::kData:
        missing.push_back(absl::StrCat(
            "register ", plan.registers(e.reg).name(), " from ", from));
        break;
      case FiringEdge::Kind::kCredit:
        missing.push_back(absl::StrCat("a free slot of register ",
                                       plan.registers(e.reg).name(), " from ",
                                       from));
        break;
      case FiringEdge::Kind::kWait:
      case FiringEdge::Kind::kStream:
        missing.push_back(absl::StrCat("the end of ", from));
        break;
    }
  }
  return absl::StrJoin(missing, ", ");
}

std::string Lane::Describe() {
  const int task = current_task_.load();
  if (stopped()) return "";
  const double seconds = (NowNs() - current_since_ns_.load()) * 1e-9;
  const placement::Plan& plan = *shared_->plan;
  const std::string where =
      absl::StrCat(device_->name(), "/", ops::StreamKindName(kind_));
  if (awaits_device_.load()) {
    return absl::StrFormat("%s: waits %.1f s for the device", where, seconds);
  }
  if (task < 0) return "";
  const std::string& name = plan.tasks(task).name();
  if (!waiting_.load()) {
    const bool collective = plan.tasks(task).has_collective();
    return absl::StrFormat("%s: %s %s for %.1f s", where,
                           collective ? "in collective" : "running", name,
                           seconds);
  }
  std::unique_lock<std::mutex> lock(report_mutex_);
  report_.clear();
  report_wanted_ = true;
  mailbox_.Wake();
  report_ready_.wait_for(lock, std::chrono::seconds(1),
                         [&] { return !report_wanted_; });
  return absl::StrFormat("%s: %s waits %.1f s for %s", where, name, seconds,
                         report_.empty() ? "its tokens" : report_);
}

}  // namespace facet::runtime
