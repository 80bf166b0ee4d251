#include "runtime/actor/error_place.h"

#include "absl/strings/str_cat.h"

namespace facet::runtime {
namespace {

absl::Status At(const std::string& place, ErrorStep step,
                const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrCat(place,
                   step.has_value() ? absl::StrCat(", step ", *step) : "", ": ",
                   status.message()));
}

}  // namespace

absl::Status WithTask(const absl::Status& status, const placement::Plan& plan,
                      const placement::Task& task, ErrorStep step) {
  if (status.ok()) return status;
  return At(
      absl::StrCat(plan.devices(task.device()).name(), ", task ", task.name(),
                   task.op().empty() ? "" : absl::StrCat(" (", task.op(), ")")),
      step, status);
}

absl::Status WithStream(const absl::Status& status, const std::string& device,
                        ops::StreamKind stream, ErrorStep step) {
  if (status.ok()) return status;
  return At(absl::StrCat(device, ", stream ", ops::StreamKindName(stream)),
            step, status);
}

}  // namespace facet::runtime
