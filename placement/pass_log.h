// PassLog: what the passes of a compilation took and made, for people:
// --dump_passes.
#ifndef FACET_PLACEMENT_PASS_LOG_H_
#define FACET_PLACEMENT_PASS_LOG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ops/graph/graph.h"
#include "ops/graph/layout.h"
#include "ops/graph/nd_sbp.h"
#include "ops/status_macros.h"
#include "placement/passes/assign_sbp.h"
#include "placement/passes/split_per_device.h"
#include "placement/plan/write_file.h"

namespace facet::placement {

class PassLog {
 public:
  // Empty: dumps nothing.
  explicit PassLog(std::string dump_dir) : dump_dir_(std::move(dump_dir)) {}

  bool dumps() const { return !dump_dir_.empty(); }

  // A pass that made a graph: it must break no rule of graphs.
  absl::Status Graph(absl::string_view pass, const ops::Graph& graph);
  static absl::Status Verify(absl::string_view pass, const ops::Graph& graph);

  // Logs the time since the pass before (-v=1).
  void Time(absl::string_view pass);

  // The same, and writes what the pass made to "<dump_dir>/<pass>.txt" if it is
  // not what the last one did. `text` is a function: most runs dump nothing.
  template <typename Text>
  absl::Status Done(absl::string_view pass, const Text& text) {
    Time(pass);
    if (dumps()) {
      std::string content = text();
      if (content != last_) {
        RETURN_IF_ERROR(WriteFileAtomically(
            absl::StrCat(dump_dir_, "/", pass, ".txt"), content));
        last_ = std::move(content);
      }
    }
    start_ = absl::Now();
    return absl::OkStatus();
  }

 private:
  const std::string dump_dir_;
  std::string last_;
  absl::Time start_ = absl::Now();
};

// Every node's options, and which was chosen.
std::string AssignmentText(const ops::Graph& graph,
                           const SbpAssignment& assignment);
// The graph, and how its tensors lie. `layout`: null if that is open.
std::string PlacedText(const ops::Graph& graph,
                       const std::vector<ops::NdSbp>& sbp,
                       const std::vector<ops::Layout>* layout);
std::string TasksText(const TaskGraph& graph);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASS_LOG_H_
