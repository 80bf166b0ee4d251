#include "runtime/device/cpu_device.h"

#include <hwloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/openmp_team.h"
#include "runtime/collectives/message_passing.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/host_memory.h"

namespace facet::runtime {
namespace {

// What the process may use can be less than what the machine has (taskset,
// containers). To be freed.
hwloc_cpuset_t UsableCpuset(hwloc_topology_t topology) {
  hwloc_cpuset_t usable = hwloc_bitmap_alloc();
  if (hwloc_get_cpubind(topology, usable, HWLOC_CPUBIND_PROCESS) != 0) {
    hwloc_bitmap_copy(usable, hwloc_topology_get_allowed_cpuset(topology));
  }
  return usable;
}

// The cores that the process may use.
class CpuTopology {
 public:
  CpuTopology() {
    CHECK_EQ(hwloc_topology_init(&handle_), 0);
    CHECK_EQ(hwloc_topology_load(handle_), 0);
    usable_ = UsableCpuset(handle_);
    const int count = hwloc_get_nbobjs_by_type(handle_, HWLOC_OBJ_CORE);
    for (int i = 0; i < count; ++i) {
      hwloc_obj_t core = hwloc_get_obj_by_type(handle_, HWLOC_OBJ_CORE, i);
      if (!hwloc_bitmap_intersects(core->cpuset, usable_)) continue;
      hwloc_bitmap_t of_core = hwloc_bitmap_alloc();
      hwloc_bitmap_and(of_core, core->cpuset, usable_);
      cores_.push_back(of_core);
    }
    // Some virtual machines report no cores.
    if (cores_.empty()) cores_.push_back(hwloc_bitmap_dup(usable_));
  }
  ~CpuTopology() {
    for (hwloc_bitmap_t core : cores_) hwloc_bitmap_free(core);
    hwloc_bitmap_free(usable_);
    hwloc_topology_destroy(handle_);
  }
  CpuTopology(const CpuTopology&) = delete;
  CpuTopology& operator=(const CpuTopology&) = delete;

  // Read once and shared by all devices.
  static const CpuTopology& Get() {
    static const CpuTopology& topology = *new CpuTopology;
    return topology;
  }

  hwloc_topology_t handle() const { return handle_; }
  int num_cores() const { return static_cast<int>(cores_.size()); }
  hwloc_const_cpuset_t usable() const { return usable_; }
  hwloc_const_cpuset_t cpuset(int core) const { return cores_[core]; }

  // The memory is of the NUMA nodes of these cores, whoever touches it first (a
  // checkpoint is read by another thread). Advice: elsewhere it is slower, not
  // wrong.
  void PlaceNear(const std::vector<int>& cores, void* data,
                 int64_t size_bytes) const {
    hwloc_cpuset_t cpuset = hwloc_bitmap_alloc();
    for (int core : cores) hwloc_bitmap_or(cpuset, cpuset, cores_[core]);
    (void)hwloc_set_area_membind(handle_, data, size_bytes, cpuset,
                                 HWLOC_MEMBIND_BIND, 0);
    hwloc_bitmap_free(cpuset);
  }

 private:
  hwloc_topology_t handle_ = nullptr;
  hwloc_cpuset_t usable_ = nullptr;
  std::vector<hwloc_bitmap_t> cores_;
};

// Anonymous memory in huge pages where the system gives them. Its pages exist
// once they are touched.
class MappedArena : public Arena {
 public:
  MappedArena(void* data, int64_t size_bytes)
      : data_(data), size_bytes_(size_bytes) {}
  ~MappedArena() override {
    if (size_bytes_ > 0) munmap(data_, size_bytes_);
  }
  void* data() const override { return data_; }
  int64_t size_bytes() const override { return size_bytes_; }
  int64_t resident_bytes() const override {
    return ResidentBytes(data_, size_bytes_);
  }

 private:
  void* data_;
  int64_t size_bytes_;
};

class CpuDevice : public Device {
 public:
  // `cores`: empty for a device that is not pinned.
  CpuDevice(std::string name, std::vector<int> cores)
      : name_(std::move(name)), cores_(std::move(cores)) {}

  const std::string& name() const override { return name_; }
  const ops::KernelLibrary& kernels() const override {
    return ops::CpuKernels();
  }

  bool host_accessible() const override { return true; }

  absl::StatusOr<std::unique_ptr<Arena>> Allocate(int64_t size_bytes) override {
    CHECK_GE(size_bytes, 0);
    if (size_bytes == 0) return std::make_unique<MappedArena>(nullptr, 0);
    const int64_t available = AvailableHostMemoryBytes();
    auto error = [&](absl::string_view why) {
      return absl::ResourceExhaustedError(absl::StrFormat(
          "%s: cannot allocate its arena of %.2f GiB: %s (%.2f GiB available)",
          name_, size_bytes / double{1 << 30}, why,
          available / double{1 << 30}));
    };
    if (available > 0 && size_bytes > available) return error("too large");
    void* data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return error(strerror(errno));
    // Advice: without huge pages it is slower, not wrong.
    (void)madvise(data, size_bytes, MADV_HUGEPAGE);
    if (!cores_.empty()) {
      CpuTopology::Get().PlaceNear(cores_, data, size_bytes);
    }
    return std::make_unique<MappedArena>(data, size_bytes);
  }

  absl::Status EnterStream(ops::StreamKind kind) override {
    if (!cores_.empty()) {
      const CpuTopology& topology = CpuTopology::Get();
      hwloc_cpuset_t cpuset = hwloc_bitmap_alloc();
      for (int core : cores_) {
        hwloc_bitmap_or(cpuset, cpuset, topology.cpuset(core));
      }
      // Where the system does not let us pin, we run unpinned.
      if (hwloc_set_cpubind(topology.handle(), cpuset, HWLOC_CPUBIND_THREAD) !=
          0) {
        LOG_FIRST_N(WARNING, 1)
            << name_ << ": cannot pin threads to cores: " << strerror(errno);
      }
      hwloc_bitmap_free(cpuset);
    }
    // Only compute needs a team; idle OpenMP threads of other streams would
    // spin on the cores that compute.
    const bool team = kind == ops::StreamKind::kCompute && !cores_.empty();
    ops::SetTeam(team ? static_cast<int>(cores_.size()) : 1);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Stream>> CreateStream(
      ops::StreamKind) override {
    return std::make_unique<Stream>();
  }

  absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>
  CreateCommunicators(absl::Span<Device* const> group,
                      const RankPlaces& places) override {
    if (!places.AllHere()) return CreateMessagePassingCommunicators(places);
    return CreateSharedMemoryCommunicators(static_cast<int>(group.size()));
  }

  absl::Status CopyToHost(const void* device, void* host,
                          int64_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(host, device, size_bytes);
    return absl::OkStatus();
  }
  absl::Status CopyFromHost(const void* host, void* device,
                            int64_t size_bytes) override {
    if (size_bytes > 0) std::memcpy(device, host, size_bytes);
    return absl::OkStatus();
  }

 private:
  std::string name_;
  std::vector<int> cores_;
};

}  // namespace

std::string UsableCores() {
  const CpuTopology topology;
  char* text = nullptr;
  CHECK_GE(hwloc_bitmap_list_asprintf(&text, topology.usable()), 0);
  std::string list = text;
  std::free(text);
  return list;
}

absl::Status UsePartOfCores(int index, int parts) {
  CHECK(0 <= index && index < parts) << index << " of " << parts;
  const CpuTopology topology;
  if (parts == 1 || parts > topology.num_cores()) return absl::OkStatus();
  const ops::Range part = ops::ShardRange(topology.num_cores(), parts, index);
  hwloc_cpuset_t cores = hwloc_bitmap_alloc();
  for (int64_t c = part.begin; c < part.end; ++c) {
    hwloc_bitmap_or(cores, cores, topology.cpuset(static_cast<int>(c)));
  }
  const int result =
      hwloc_set_cpubind(topology.handle(), cores, HWLOC_CPUBIND_PROCESS);
  const int error = errno;
  hwloc_bitmap_free(cores);
  if (result == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot use a part of the cores only: ", strerror(error)));
}

int AvailableCores() { return CpuTopology::Get().num_cores(); }

int CoresOfCpuDevice(int count, int index) {
  const int cores = AvailableCores();
  if (count > cores) return 1;
  return static_cast<int>(ops::ShardRange(cores, count, index).size());
}

absl::StatusOr<std::vector<std::unique_ptr<Device>>> CreateCpuDevices(
    int count) {
  if (count < 1 || count > 1024) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot make ", count, " CPU devices: use 1 to 1024, best at most ",
        AvailableCores(), " here (one core each)"));
  }
  const int available = AvailableCores();
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < count; ++i) {
    std::vector<int> cores;
    if (count <= available) {
      const ops::Range range = ops::ShardRange(available, count, i);
      for (int64_t c = range.begin; c < range.end; ++c) {
        cores.push_back(static_cast<int>(c));
      }
    }
    devices.push_back(
        std::make_unique<CpuDevice>(absl::StrCat("cpu:", i), std::move(cores)));
  }
  return devices;
}

}  // namespace facet::runtime
