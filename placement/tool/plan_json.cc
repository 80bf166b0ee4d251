#include "placement/tool/plan_json.h"

#include <vector>

#include "nlohmann/json.hpp"
#include "placement/tool/plan_facts.h"

namespace facet::placement {
namespace {

using Json = nlohmann::ordered_json;

Json Devices(const Plan& plan) {
  Json devices = Json::array();
  for (const Device& device : plan.devices()) {
    devices.push_back({{"name", device.name()},
                       {"kind", device.kind()},
                       {"cores", device.cores()},
                       {"arena_bytes", device.arena_bytes()},
                       {"persistent_bytes", device.persistent_bytes()},
                       {"lower_bound_bytes", device.live_bytes()}});
  }
  return devices;
}

Json Tensors(const Plan& plan) {
  const std::vector<TensorFacts> facts = FindTensors(plan);
  Json tensors = Json::array();
  for (int t = 0; t < plan.tensors_size(); ++t) {
    const LogicalTensor& tensor = plan.tensors(t);
    tensors.push_back({{"name", tensor.name()},
                       {"dtype", tensor.dtype()},
                       {"shape", std::vector<int64_t>(tensor.shape().begin(),
                                                      tensor.shape().end())},
                       {"sbp", SbpText(tensor)},
                       {"layer", tensor.layer()},
                       {"part", tensor.part()},
                       {"variable", tensor.variable()},
                       {"bytes", facts[t].bytes},
                       {"bytes_per_device", facts[t].bytes_per_device}});
  }
  return tensors;
}

Json Collectives(const Plan& plan) {
  Json collectives = Json::array();
  for (const CollectiveFacts& c : FindCollectives(plan)) {
    const Task& task = plan.tasks(c.task);
    collectives.push_back({{"name", task.name()},
                           {"kind", c.kind},
                           {"transition", c.transition},
                           {"layer", task.layer()},
                           {"part", task.part()},
                           {"phase", task.phase()},
                           {"ranks", c.ranks},
                           {"bytes_per_device", c.bytes},
                           {"predicted_seconds", c.seconds}});
  }
  return collectives;
}

}  // namespace

std::string PlanJson(const Plan& plan, std::optional<double> compile_seconds) {
  const PlanTotals totals = FindTotals(plan);
  Json json;
  json["name"] = plan.name();
  json["devices"] = Devices(plan);
  json["predicted_step_seconds"] = plan.predicted_step_seconds();
  json["compile_seconds"] =
      compile_seconds.has_value() ? Json(*compile_seconds) : Json();
  json["search_seconds"] = plan.search_seconds();
  json["optimality_gap"] =
      totals.optimality_gap >= 0 ? Json(totals.optimality_gap) : Json();
  json["arena_over_lower_bound"] = totals.arena_over_lower_bound;
  const Recomputation& again = plan.recomputation();
  json["recomputed"] = {{"tensors", again.tensors()},
                        {"gathered", again.gathered()},
                        {"logits", again.logits()},
                        {"bytes_per_device", again.bytes()},
                        {"seconds", again.seconds()}};
  json["options"] = Json::object();
  for (const Option& option : plan.options()) {
    // Several pins share a name.
    Json& value = json["options"][option.name()];
    value = value.is_null() ? option.value()
                            : value.get<std::string>() + ";" + option.value();
  }
  json["tensors"] = Tensors(plan);
  json["collectives"] = Collectives(plan);
  // Names in a plan need not be UTF-8 if somebody wrote it by hand.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace facet::placement
