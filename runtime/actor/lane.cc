#include "runtime/actor/lane.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <map>
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

}  // namespace

absl::Status CreateTaskEvents(const std::vector<Device*>& devices,
                              LaneShared* shared) {
  const placement::Plan& plan = *shared->plan;
  shared->task_events.resize(plan.tasks_size());
  shared->awaited.resize(plan.tasks_size());
  // What each task needs of another lane, from how many steps before: the last.
  std::vector<std::map<std::pair<Lane*, int>, int>> needs(plan.tasks_size());
  auto need = [&](int from, int to, int steps) {
    Lane* lane = shared->lane_of_task[from];
    // Also of tasks of another process.
    if (lane == shared->lane_of_task[to]) return;
    int& last =
        needs[to].emplace(std::make_pair(lane, steps), from).first->second;
    last = std::max(last, from);
  };
  for (const FiringEdge& edge : shared->edges) {
    need(edge.from, edge.to, edge.tokens);
  }
  // Tasks that run once have no edges: other lanes' threads start when all are
  // done, other streams know nothing of that.
  std::vector<int> once_writer(plan.registers_size(), -1);
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (!plan.tasks(t).once()) continue;
    for (int reg : plan.tasks(t).outputs()) once_writer[reg] = t;
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    for (int reg : plan.tasks(t).inputs()) {
      if (once_writer[reg] >= 0) need(once_writer[reg], t, INT_MAX);
    }
  }
  for (int t = 0; t < plan.tasks_size(); ++t) {
    for (const auto& [lane_and_steps, from] : needs[t]) {
      Device* device = devices[plan.tasks(from).device()];
      if (!device->asynchronous()) continue;
      std::unique_ptr<Event>& event = shared->task_events[from];
      if (event == nullptr) {
        ASSIGN_OR_RETURN(event, device->CreateEvent(/*timed=*/false));
      }
      shared->awaited[t].push_back(from);
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

absl::Status Lane::OfTask(const absl::Status& status, int position,
                          int64_t step) const {
  return WithTask(status, *shared_->plan,
                  shared_->plan->tasks(tasks_[position]), KnownAs(step));
}

absl::Status Lane::OfStream(const absl::Status& status, int64_t step) const {
  return WithStream(status, device_->name(), kind_, KnownAs(step));
}

ErrorStep Lane::KnownAs(int64_t step) const {
  return step < 0 ? ErrorStep() : shared_->first_step + step;
}

absl::Status Lane::OpenStream() {
  RETURN_IF_ERROR(device_->EnterStream(kind_));
  ASSIGN_OR_RETURN(stream_, device_->CreateStream(kind_));
  for (std::unique_ptr<Event>& event : step_events_) {
    ASSIGN_OR_RETURN(event, device_->CreateEvent(/*timed=*/false));
  }
  return absl::OkStatus();
}

absl::Status Lane::StartClock() {
  if (!device_->asynchronous() || shared_->timeline == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(clock_, DeviceClock::Create(device_, stream_.get(),
                                               tasks_.size(), kStepsAhead));
  return absl::OkStatus();
}

absl::Status Lane::PrepareTasks() {
  RETURN_IF_ERROR(OfStream(OpenStream(), -1));
  const placement::Plan& plan = *shared_->plan;
  for (int task : tasks_) {
    if (shared_->stop.load()) return absl::OkStatus();
    absl::StatusOr<TaskRunner> runner = prepare_(task, stream_.get());
    RETURN_IF_ERROR(
        OfTask(runner.status(), static_cast<int>(runners_.size()), -1));
    runners_.push_back(*std::move(runner));
  }
  FindTogether();
  for (int i = 0; i < static_cast<int>(tasks_.size()); ++i) {
    if (!plan.tasks(tasks_[i]).once()) continue;
    if (shared_->stop.load()) return absl::OkStatus();
    RETURN_IF_ERROR(Fire(i, i + 1, -1));
  }
  RETURN_IF_ERROR(OfStream(StartClock(), -1));
  return EndStep(-1);
}

void Lane::FindTogether() {
  const int count = static_cast<int>(tasks_.size());
  recorded_.resize(tasks_.size());
  together_.resize(tasks_.size());
  together_wait_.resize(tasks_.size());
  // Of another lane. It could be waited for with the first of a run, but then
  // the run would begin late.
  auto needs_this_step = [&](int position) {
    for (int edge : shared_->firing->in_edges(tasks_[position])) {
      const FiringEdge& e = shared_->edges[edge];
      if (shared_->lane_of_task[e.from] != this && e.tokens == 0) return true;
    }
    return false;
  };
  for (int begin = 0; begin < count;) {
    int end = begin + 1;
    if (runners_[begin].is_same_in_every_step()) {
      while (end < count && runners_[end].is_same_in_every_step() &&
             !needs_this_step(end) &&
             shared_->task_events[tasks_[end - 1]] == nullptr) {
        ++end;
      }
    }
    std::vector<const Event*>& wait = together_wait_[begin];
    for (int position = begin; position < end; ++position) {
      together_[position] = end;
      for (int task : shared_->awaited[tasks_[position]]) {
        const Event* event = shared_->task_events[task].get();
        if (std::find(wait.begin(), wait.end(), event) == wait.end()) {
          wait.push_back(event);
        }
      }
    }
    begin = end;
  }
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
  for (int begin = 0, end; begin < static_cast<int>(tasks_.size());
       begin = end) {
    end = EndOfTogether(begin, step);
    const int task = tasks_[begin];
    if (shared_->plan->tasks(task).once()) continue;
    if (!Await(task) || !AwaitTogether(begin, end)) return absl::OkStatus();
    shared_->firing->Begin(task);
    RETURN_IF_ERROR(Fire(begin, end, step));
  }
  return EndStep(step);
}

absl::Status Lane::EndStep(int64_t step) {
  if (!device_->asynchronous()) return absl::OkStatus();
  return OfStream(stream_->Record(StepEvent(step)), step);
}

absl::Status Lane::AwaitDevice(int64_t step) {
  if (!device_->asynchronous()) return absl::OkStatus();
  current_since_ns_.store(NowNs());
  awaits_device_.store(true);
  // Asks instead of sleeping in the driver: a session that stops must not wait
  // for a device that hangs. Less often the longer it takes (3 % late, or 1
  // ms): of 8 devices 32 lanes ask.
  std::chrono::duration<double> pause = std::chrono::microseconds(50);
  constexpr std::chrono::duration<double> kLongest =
      std::chrono::milliseconds(1);
  while (!shared_->stop.load()) {
    absl::StatusOr<bool> passed = StepEvent(step).HasPassed();
    RETURN_IF_ERROR(OfStream(passed.status(), step));
    if (*passed) break;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * (1 + 1. / 32), kLongest);
  }
  awaits_device_.store(false);
  if (shared_->stop.load()) return absl::OkStatus();
  while (first_unrecorded_step_ <= step) {
    RETURN_IF_ERROR(
        OfStream(RecordStep(first_unrecorded_step_), first_unrecorded_step_));
    ++first_unrecorded_step_;
  }
  return absl::OkStatus();
}

absl::Status Lane::RecordStep(int64_t step) {
  if (!IsTimed(step)) return absl::OkStatus();
  for (int begin = 0, end; begin < static_cast<int>(tasks_.size());
       begin = end) {
    end = EndOfTogether(begin, step);
    if (shared_->plan->tasks(tasks_[begin]).once()) continue;
    ASSIGN_OR_RETURN(const DeviceClock::Interval when,
                     clock_->When(begin, step));
    shared_->timeline->Record(
        {tasks_[begin], step, when.start_ns, when.end_ns, end - begin});
  }
  return absl::OkStatus();
}

bool Lane::Await(int task) {
  if (shared_->stop.load(std::memory_order_relaxed)) return false;
  return AwaitUntil(task, [&] { return shared_->firing->CanFire(task); });
}

template <typename Condition>
bool Lane::AwaitUntil(int task, const Condition& condition) {
  if (condition()) return true;
  current_since_ns_.store(NowNs());
  current_task_.store(task);
  waiting_.store(true);
  while (!condition()) {
    Receive();
    if (shared_->stop.load()) return false;
  }
  waiting_.store(false);
  return true;
}

bool Lane::AwaitTogether(int begin, int end) {
  for (int position = begin + 1; position < end; ++position) {
    const int task = tasks_[position];
    for (int edge : shared_->firing->in_edges(task)) {
      if (shared_->lane_of_task[shared_->edges[edge].from] == this) continue;
      auto has_come = [&] { return shared_->firing->tokens(edge) > 0; };
      if (!AwaitUntil(task, has_come)) return false;
    }
  }
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

absl::Status Lane::Fire(int begin, int end, int64_t step) {
  const int task = tasks_[begin];
  const int64_t start_ns = NowNs();
  current_since_ns_.store(start_ns, std::memory_order_relaxed);
  current_task_.store(task, std::memory_order_relaxed);
  absl::Status status = RunTasks(begin, end, step);
  // Before the tokens leave: sending them is the runtime's work, not the
  // task's.
  const int64_t end_ns = runners_[begin].works() ? NowNs() : start_ns;
  for (int position = begin; position < end && status.ok(); ++position) {
    if (position > begin) {
      CHECK(shared_->firing->CanFire(tasks_[position]));
      shared_->firing->Begin(tasks_[position]);
    }
    status = Finish(position, step);
  }
  if (shared_->timeline != nullptr && step >= 0 && !device_->asynchronous()) {
    shared_->timeline->Record({task, step, start_ns, end_ns});
  }
  return status;
}

absl::Status Lane::RunTasks(int begin, int end, int64_t step) {
  const bool together = end > begin + 1;
  RETURN_IF_ERROR(OfTask(BeginTasks(begin, together, step), begin, step));
  RETURN_IF_ERROR(together ? RunTogether(begin, end, step)
                           : OfTask(runners_[begin].Run(step), begin, step));
  return OfTask(EndTasks(begin, end, step), end - 1, step);
}

absl::Status Lane::BeginTasks(int begin, bool together, int64_t step) {
  if (together) {
    for (const Event* event : together_wait_[begin]) {
      RETURN_IF_ERROR(stream_->Wait(*event));
    }
  } else {
    for (int task : shared_->awaited[tasks_[begin]]) {
      RETURN_IF_ERROR(stream_->Wait(*shared_->task_events[task]));
    }
  }
  return IsTimed(step) ? clock_->Begin(begin, step) : absl::OkStatus();
}

absl::Status Lane::EndTasks(int begin, int end, int64_t step) {
  if (IsTimed(step)) RETURN_IF_ERROR(clock_->End(begin, step));
  Event* event = shared_->task_events[tasks_[end - 1]].get();
  return event == nullptr ? absl::OkStatus() : stream_->Record(*event);
}

absl::Status Lane::RunTogether(int begin, int end, int64_t step) {
  std::unique_ptr<RecordedWork>& recorded = recorded_[begin];
  if (recorded == nullptr) {
    RETURN_IF_ERROR(OfTask(stream_->BeginRecording(), begin, step));
    absl::Status status;
    for (int position = begin; position < end && status.ok(); ++position) {
      status = OfTask(runners_[position].Run(step), position, step);
    }
    auto ended = stream_->EndRecording();
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(OfTask(ended.status(), begin, step));
    recorded = *std::move(ended);
  }
  return OfTask(stream_->Replay(*recorded), begin, step);
}

bool Lane::IsTimed(int64_t step) const {
  return clock_ != nullptr && step >= 0 && step < shared_->timeline->steps();
}

absl::Status Lane::Finish(int position, int64_t step) {
  const int task = tasks_[position];
  // Before the tokens leave: then the output may be overwritten.
  const absl::StatusOr<int> bad = runners_[position].NonFiniteOutput();
  RETURN_IF_ERROR(OfTask(bad.status(), position, step));
  if (*bad >= 0) {
    shared_->on_non_finite(task, shared_->plan->tasks(task).outputs(*bad),
                           step);
  }
  shared_->finished.fetch_add(1, std::memory_order_relaxed);
  if (shared_->plan->tasks(task).once()) return absl::OkStatus();
  for (int edge : shared_->firing->out_edges(task)) {
    shared_->lane_of_task[shared_->edges[edge].to]->Deliver(edge);
  }
  return absl::OkStatus();
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
