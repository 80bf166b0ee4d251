// Variables: the logical values of a session's variables, read from and written
// to the shares that devices have of them, in this process and others.
#ifndef FACET_RUNTIME_VARIABLES_H_
#define FACET_RUNTIME_VARIABLES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"
#include "ops/kernel.h"
#include "placement/plan/plan.pb.h"
#include "runtime/device/device.h"
#include "runtime/processes/process_group.h"

namespace facet::runtime {

// Thread-compatible. Where there are several processes, all call Read and Write
// alike; the rows are those of process 0, and the others' may be null.
class Variables {
 public:
  // `devices` and `arenas` by plan device id, null where they are another
  // process's (`processes`; null: there is one). `interrupted`: see
  // ProcessGroup::Exchange. Not owned; they outlive this.
  Variables(const placement::Plan& plan, const std::vector<Device*>& devices,
            std::vector<char*> arenas, ProcessGroup* processes,
            std::function<absl::Status()> interrupted);

  std::vector<std::string> Names() const;
  // NotFound names it and says which there are.
  absl::StatusOr<ops::TensorType> TypeOf(absl::string_view name) const;

  // Rows [begin, end), row-major. A broadcast variable is that of the first
  // device; the parts of a partial one are added up.
  absl::Status Read(absl::string_view name, int64_t begin, int64_t end,
                    char* rows) const;
  absl::Status Write(absl::string_view name, int64_t begin, int64_t end,
                     const char* rows) const;

 private:
  // Registers that hold a variable, one per device that has a share.
  using Shares = std::vector<int>;

  // What a share of a variable is to the others.
  struct Role {
    bool repeats = false;       // As another's, along a broadcast axis.
    bool partial = false;       // The parts of some make one.
    bool sums = true;           // By adding them up.
    bool adds_nothing = false;  // When it is written: the first has it all.
  };

  // Some rows of one share.
  struct Share {
    int device = 0;
    Role role;
    int64_t arena_offset = 0;  // Of the first row.
    ops::TensorSlice slice;    // As if the rows were the whole tensor.
  };

  absl::StatusOr<const Shares*> Find(absl::string_view name) const;
  Role RoleOf(const placement::Register& reg) const;
  // visit(Share) of each that has some of the rows.
  template <typename Visit>
  absl::Status ForShares(absl::string_view name, int64_t begin, int64_t end,
                         const Visit& visit) const;

  int ThisProcess() const {
    return processes_ == nullptr ? 0 : processes_->rank();
  }
  // Between the device, which may be another process's, and process 0.
  absl::Status ToProcess0(const Share& share, char* to) const;
  absl::Status FromProcess0(const Share& share, const char* from) const;

  const placement::Plan& plan_;
  const std::vector<Device*>& devices_;
  const std::vector<char*> arenas_;
  ProcessGroup* const processes_;
  const std::function<absl::Status()> interrupted_;
  std::map<std::string, Shares, std::less<>> shares_;
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_VARIABLES_H_
