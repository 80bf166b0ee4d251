#include "runtime/session.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "ops/graph/sbp.h"
#include "ops/graph/shard.h"
#include "ops/status_macros.h"
#include "placement/plan/firing.h"
#include "placement/plan/stated_devices.h"
#include "placement/plan/validate.h"
#include "runtime/actor/error_place.h"
#include "runtime/actor/lane.h"
#include "runtime/device/host_memory.h"
#include "runtime/variable_rows.h"
#include "runtime/variables.h"

namespace facet::runtime {
namespace {

class PlanSession : public Session {
 public:
  PlanSession(const placement::Plan& plan, std::vector<Device*> devices,
              const SessionOptions& options)
      : plan_(plan), devices_(std::move(devices)), options_(options) {}

  ~PlanSession() override {
    // Lanes are idle, unless an error has stopped all. Communicators are not
    // aborted: peers in other processes may still be in the last collective.
    StopLanes();
    for (const std::unique_ptr<Lane>& lane : lanes_) lane->Join();
  }

  absl::Status Start();

  absl::Status Run(int64_t steps) override;
  int64_t steps_done() const override { return steps_done_; }
  bool is_first_process() const override { return ThisProcess() == 0; }
  absl::StatusOr<HostTensor> ReadVariable(absl::string_view name) override;
  absl::Status WriteVariable(absl::string_view name,
                             const HostTensor& value) override;
  absl::StatusOr<ops::TensorType> VariableType(
      absl::string_view name) const override {
    return variables_->TypeOf(name);
  }
  absl::Status ReadRows(absl::string_view name, int64_t begin, int64_t end,
                        char* rows) override;
  absl::Status WriteRows(absl::string_view name, int64_t begin, int64_t end,
                         const char* rows) override;
  std::vector<std::string> VariableNames() const override {
    return variables_->Names();
  }
  std::string FirstNonFinite(int64_t since) const override;
  std::vector<DeviceMemory> memory() const override;

 private:
  int ThisProcess() const {
    return options_.processes == nullptr ? 0 : options_.processes->rank();
  }
  // False where another process has it.
  bool IsHere(int device) const { return devices_[device] != nullptr; }
  absl::Status CheckDevices() const;
  absl::Status AllocateArenas();
  absl::Status CreateCommunicators();
  absl::Status CreateLanes();
  // Brings variables up to date that the steps leave behind.
  absl::Status Settle();
  // Makes the stream of the task's device if there is none yet.
  absl::Status RunSettleTask(const placement::Task& task,
                             std::unique_ptr<Stream>* stream);
  // Waits until every lane has done `steps` steps, or the first error.
  absl::Status WaitForLanes(int64_t steps);
  absl::Status DescribeStall();
  absl::Status Health();
  void Fail(absl::Status status);
  void StopLanes();
  void Stop(absl::Status status);
  absl::Status FirstError() const;
  char* ArenaOf(int device) const {
    return static_cast<char*>(arenas_[device]->data());
  }

  const placement::Plan plan_;
  const std::vector<Device*> devices_;
  const SessionOptions options_;
  std::vector<std::unique_ptr<Arena>> arenas_;  // Null: not here.
  // By group, by device: null where the device is not a member, or not here.
  std::vector<std::vector<std::unique_ptr<Communicator>>> communicators_;
  std::unique_ptr<Variables> variables_;
  LaneShared shared_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  int64_t steps_done_ = 0;
  int64_t settled_steps_ = 0;  // steps_done_ of the last Settle.

  mutable std::mutex mutex_;
  std::condition_variable progress_;
  absl::Status status_;  // Guarded by mutex_: the first error.
  // By step, as users know it. Guarded by mutex_.
  std::map<int64_t, std::string> first_non_finite_;
};

absl::Status PlanSession::AllocateArenas() {
  int64_t total_bytes = 0;  // Of the host.
  for (int d = 0; d < plan_.devices_size(); ++d) {
    if (!IsHere(d) || !devices_[d]->host_accessible()) continue;
    // Of a plan from a file, which may say anything.
    const int64_t bytes = plan_.devices(d).arena_bytes();
    total_bytes =
        bytes > INT64_MAX - total_bytes ? INT64_MAX : total_bytes + bytes;
  }
  const int64_t available = AvailableHostMemoryBytes();
  if (available > 0 && total_bytes > available) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "the plan needs %.2f GiB for its %d devices here, %.2f GiB are "
        "available on this machine; a smaller --batch_size or --classes needs "
        "less",
        total_bytes / double{1 << 30},
        devices_.size() - std::count(devices_.begin(), devices_.end(), nullptr),
        available / double{1 << 30}));
  }
  arenas_.resize(plan_.devices_size());
  for (int d = 0; d < plan_.devices_size(); ++d) {
    if (!IsHere(d)) continue;
    ASSIGN_OR_RETURN(arenas_[d],
                     devices_[d]->Allocate(plan_.devices(d).arena_bytes()));
  }
  return absl::OkStatus();
}

absl::Status PlanSession::CreateCommunicators() {
  int first_tag = RankPlaces().first_tag;
  for (const placement::Group& group : plan_.groups()) {
    std::vector<Device*> members;
    RankPlaces places;
    places.processes = options_.processes;
    places.first_tag = first_tag;
    const placement::Device& first = plan_.devices(group.devices(0));
    Device* one = nullptr;  // Of this process.
    for (int device : group.devices()) {
      members.push_back(devices_[device]);
      if (members.back() != nullptr) one = members.back();
      if (options_.processes != nullptr) {
        places.process_of.push_back(
            ProcessOfDevice(device, plan_.devices_size(), options_.processes));
      }
      if (plan_.devices(device).kind() != first.kind()) {
        return absl::UnimplementedError(absl::StrCat(
            "collectives between ", first.name(), " and ",
            plan_.devices(device).name(), ": only devices of one kind"));
      }
    }
    first_tag += places.num_tags();
    std::vector<std::unique_ptr<Communicator>> by_device(devices_.size());
    if (one == nullptr) {
      communicators_.push_back(std::move(by_device));
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<std::unique_ptr<Communicator>> by_rank,
                     one->CreateCommunicators(members, places));
    for (int rank = 0; rank < group.devices_size(); ++rank) {
      by_device[group.devices(rank)] = std::move(by_rank[rank]);
    }
    communicators_.push_back(std::move(by_device));
  }
  return absl::OkStatus();
}

absl::Status PlanSession::CreateLanes() {
  shared_.plan = &plan_;
  shared_.edges = placement::FiringEdges(plan_);
  shared_.firing = std::make_unique<placement::FiringState>(shared_.edges,
                                                            plan_.tasks_size());
  shared_.lane_of_task.resize(plan_.tasks_size(), nullptr);
  shared_.timeline = options_.timeline;
  shared_.replay = options_.replay;
  shared_.first_step = options_.first_step;
  shared_.fail = [this](absl::Status status) { Fail(std::move(status)); };
  shared_.on_non_finite = [this](int task, int reg, int64_t step) {
    constexpr size_t kKept = 8;
    const int64_t known_as = options_.first_step + step;
    std::lock_guard<std::mutex> lock(mutex_);
    if (first_non_finite_.count(known_as) > 0) return;
    const placement::Task& t = plan_.tasks(task);
    first_non_finite_[known_as] = absl::StrCat(
        "step ", known_as, ": ", plan_.registers(reg).name(), " on ",
        plan_.devices(t.device()).name(), ", written by ", t.name(),
        t.layer().empty() ? "" : absl::StrCat(" of layer ", t.layer()));
    if (first_non_finite_.size() > kKept) {
      first_non_finite_.erase(std::next(first_non_finite_.begin()));
    }
  };
  shared_.on_progress = [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    progress_.notify_all();
  };

  // Lanes in the order of first appearance among the tasks.
  std::map<std::pair<int, std::string>, size_t> lane_ids;
  std::vector<std::vector<int>> tasks_of_lane;
  for (int t = 0; t < plan_.tasks_size(); ++t) {
    const placement::Task& task = plan_.tasks(t);
    if (!IsHere(task.device())) continue;
    auto [it, is_new] = lane_ids.emplace(
        std::make_pair(task.device(), task.stream()), tasks_of_lane.size());
    if (is_new) tasks_of_lane.emplace_back();
    tasks_of_lane[it->second].push_back(t);
  }
  const TaskEnvironment environment = {options_.seed, options_.data_source,
                                       options_.fetch_sink, options_.first_step,
                                       options_.check_finite};
  for (std::vector<int>& tasks : tasks_of_lane) {
    const placement::Task& first = plan_.tasks(tasks.front());
    const int device = first.device();
    ops::StreamKind kind = ops::StreamKind::kCompute;
    for (ops::StreamKind candidate :
         {ops::StreamKind::kCompute, ops::StreamKind::kCommunication,
          ops::StreamKind::kData, ops::StreamKind::kHost}) {
      if (ops::StreamKindName(candidate) == first.stream()) kind = candidate;
    }
    auto prepare = [this, device, environment](int task, Stream* stream) {
      const placement::Task& t = plan_.tasks(task);
      Communicator* communicator =
          t.has_collective()
              ? communicators_[t.collective().group()][device].get()
              : nullptr;
      return TaskRunner::Create(plan_, t, devices_[device], stream,
                                ArenaOf(device), communicator, environment);
    };
    lanes_.push_back(std::make_unique<Lane>(&shared_, devices_[device], kind,
                                            tasks, std::move(prepare)));
    for (int task : tasks) shared_.lane_of_task[task] = lanes_.back().get();
  }
  return CreateTaskEvents(devices_, &shared_);
}

absl::Status PlanSession::CheckDevices() const {
  const ProcessGroup* processes = options_.processes;
  if (plan_.devices_size() != static_cast<int>(devices_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the plan is for ", plan_.devices_size(), " devices, ",
                     devices_.size(), " were given"));
  }
  if (processes != nullptr && plan_.devices_size() % processes->size() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the plan is for ", plan_.devices_size(), " devices, which ",
        processes->size(), " processes cannot have equally many of"));
  }
  for (int d = 0; d < plan_.devices_size(); ++d) {
    const int owner = ProcessOfDevice(d, plan_.devices_size(), processes);
    if (IsHere(d) != (owner == ThisProcess())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "device ", d, " of the plan is process ", owner, "'s: process ",
          ThisProcess(), IsHere(d) ? " was given one" : " was given none"));
    }
    if (!placement::IsStated(plan_.devices(d))) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the plan does not state what device ", d,
          " does, only that it is "
          "like device ",
          plan_.devices(d).like(),
          ": it was made to be looked at; compile it for devices of this "
          "machine"));
    }
    if (IsHere(d) &&
        plan_.devices(d).kind() != devices_[d]->kernels().device_kind) {
      return absl::InvalidArgumentError(absl::StrCat(
          "device ", d, " of the plan is a ", plan_.devices(d).kind(), ", ",
          devices_[d]->name(), " was given"));
    }
  }
  return absl::OkStatus();
}

absl::Status PlanSession::Start() {
  RETURN_IF_ERROR(placement::ValidatePlan(plan_));
  RETURN_IF_ERROR(CheckDevices());
  RETURN_IF_ERROR(AllocateArenas());
  std::vector<char*> arenas(devices_.size());
  for (size_t d = 0; d < devices_.size(); ++d) {
    if (arenas_[d] != nullptr) arenas[d] = ArenaOf(static_cast<int>(d));
  }
  variables_ = std::make_unique<Variables>(plan_, devices_, std::move(arenas),
                                           options_.processes,
                                           [this] { return FirstError(); });
  RETURN_IF_ERROR(CreateCommunicators());
  RETURN_IF_ERROR(CreateLanes());
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->Start();
  return WaitForLanes(0);
}

absl::Status PlanSession::Run(int64_t steps) {
  RETURN_IF_ERROR(FirstError());
  if (steps < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot run ", steps, " steps"));
  }
  const int64_t target = steps_done_ + steps;
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->Advance(target);
  RETURN_IF_ERROR(WaitForLanes(target));
  steps_done_ = target;
  return absl::OkStatus();
}

absl::Status PlanSession::WaitForLanes(int64_t steps) {
  auto done = [&] {
    return std::all_of(lanes_.begin(), lanes_.end(),
                       [&](const std::unique_ptr<Lane>& lane) {
                         return lane->stopped() || lane->steps_done() >= steps;
                       });
  };
  // The clock cannot add more: "for ever" is a century.
  const auto timeout = absl::ToChronoNanoseconds(
      std::min(options_.stall_timeout, absl::Hours(24) * 36500));
  // Lost peers are looked for more often than stalls.
  const auto look = std::min<std::chrono::nanoseconds>(
      timeout, std::chrono::milliseconds(500));
  std::unique_lock<std::mutex> lock(mutex_);
  int64_t finished = shared_.finished.load();
  auto since = std::chrono::steady_clock::now();
  while (!progress_.wait_for(lock, look, done)) {
    lock.unlock();
    if (absl::Status health = Health(); !health.ok()) Fail(std::move(health));
    const auto now = std::chrono::steady_clock::now();
    const bool stalled = shared_.finished.load() == finished;
    if (!stalled) {
      finished = shared_.finished.load();
      since = now;
    }
    const bool gives_up = stalled && now - since >= timeout;
    if (gives_up) Fail(DescribeStall());
    lock.lock();
    // What hangs may hang for ever: nobody waits for it here.
    if (gives_up) return status_;
  }
  return status_;
}

absl::Status PlanSession::Health() {
  for (const auto& group : communicators_) {
    for (const std::unique_ptr<Communicator>& communicator : group) {
      if (communicator == nullptr) continue;
      RETURN_IF_ERROR(communicator->Health());
    }
  }
  return absl::OkStatus();
}

absl::Status PlanSession::FirstError() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

absl::Status PlanSession::DescribeStall() {
  std::vector<std::string> lines;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    std::string line = lane->Describe();
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "no task has finished for ", absl::FormatDuration(options_.stall_timeout),
      ":\n  ", absl::StrJoin(lines, "\n  ")));
}

void PlanSession::Fail(absl::Status status) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return;
    status_ = status;
  }
  Stop(std::move(status));
}

void PlanSession::StopLanes() {
  shared_.stop.store(true);
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->Wake();
}

void PlanSession::Stop(absl::Status status) {
  shared_.stop.store(true);
  for (const auto& group : communicators_) {
    for (const std::unique_ptr<Communicator>& communicator : group) {
      if (communicator != nullptr) communicator->Abort(status);
    }
  }
  StopLanes();
}

absl::Status PlanSession::Settle() {
  // After an error they are read as it left them.
  if (settled_steps_ == steps_done_ || !FirstError().ok()) {
    return absl::OkStatus();
  }
  std::map<int, std::unique_ptr<Stream>> streams;  // By device.
  for (const placement::Task& task : plan_.settle_tasks()) {
    const int device = task.device();
    if (!IsHere(device)) continue;
    RETURN_IF_ERROR(WithTask(RunSettleTask(task, &streams[device]), plan_, task,
                             ErrorStep()));
  }
  settled_steps_ = steps_done_;
  return absl::OkStatus();
}

absl::Status PlanSession::RunSettleTask(const placement::Task& task,
                                        std::unique_ptr<Stream>* stream) {
  Device* const device = devices_[task.device()];
  if (*stream == nullptr) {
    RETURN_IF_ERROR(device->Synchronize());
    ASSIGN_OR_RETURN(*stream, device->CreateStream(ops::StreamKind::kCompute));
  }
  ASSIGN_OR_RETURN(
      TaskRunner runner,
      TaskRunner::Create(
          plan_, task, device, stream->get(), ArenaOf(task.device()),
          /*communicator=*/nullptr,
          {.seed = options_.seed, .first_step = options_.first_step}));
  RETURN_IF_ERROR(runner.Run(steps_done_));
  return (*stream)->Synchronize();
}

absl::Status PlanSession::ReadRows(absl::string_view name, int64_t begin,
                                   int64_t end, char* rows) {
  RETURN_IF_ERROR(Settle());
  return variables_->Read(name, begin, end, rows);
}

absl::Status PlanSession::WriteRows(absl::string_view name, int64_t begin,
                                    int64_t end, const char* rows) {
  RETURN_IF_ERROR(Settle());
  return variables_->Write(name, begin, end, rows);
}

absl::StatusOr<HostTensor> PlanSession::ReadVariable(absl::string_view name) {
  ASSIGN_OR_RETURN(const ops::TensorType type, VariableType(name));
  HostTensor result;
  result.dtype = type.dtype;
  result.shape = type.shape;
  result.data.resize(type.size_bytes());
  RETURN_IF_ERROR(ReadRows(name, 0, NumRows(type.shape), result.data.data()));
  if (options_.processes != nullptr) {
    RETURN_IF_ERROR(
        Broadcast(*options_.processes, absl::MakeSpan(result.data)));
  }
  return result;
}

absl::Status PlanSession::WriteVariable(absl::string_view name,
                                        const HostTensor& value) {
  ASSIGN_OR_RETURN(const ops::TensorType type, VariableType(name));
  const ops::TensorType given = {value.dtype, value.shape};
  if (type != given) {
    return absl::InvalidArgumentError(
        absl::StrCat("variable ", name, " is ", type.ToString(),
                     ", the value is ", given.ToString()));
  }
  if (static_cast<int64_t>(value.data.size()) != type.size_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "variable ", name, ": ", type.ToString(), " takes ", type.size_bytes(),
        " bytes, the value has ", value.data.size()));
  }
  return WriteRows(name, 0, NumRows(type.shape), value.data.data());
}

std::string PlanSession::FirstNonFinite(int64_t since) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto first = first_non_finite_.lower_bound(since);
  return first == first_non_finite_.end() ? "" : first->second;
}

std::vector<Session::DeviceMemory> PlanSession::memory() const {
  std::vector<DeviceMemory> memory;
  for (const std::unique_ptr<Arena>& arena : arenas_) {
    memory.push_back(arena == nullptr ? DeviceMemory()
                                      : DeviceMemory{arena->size_bytes(),
                                                     arena->resident_bytes()});
  }
  return memory;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(
    const placement::Plan& plan, const std::vector<Device*>& devices,
    const SessionOptions& options) {
  if (options.replay && options.check_finite) {
    return absl::InvalidArgumentError(
        "tasks that are replayed together cannot be looked at one by one: "
        "either replay or check_finite");
  }
  auto session = std::make_unique<PlanSession>(plan, devices, options);
  RETURN_IF_ERROR(session->Start());
  return session;
}

}  // namespace facet::runtime
