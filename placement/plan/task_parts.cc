#include "placement/plan/task_parts.h"

#include "glog/logging.h"

namespace facet::placement {

Task PartOf(const Task& task, int part) {
  const int parts = NumParts(task);
  CHECK(part >= 0 && part < parts) << task.name();
  CHECK(task.inputs_size() % parts == 0 && task.outputs_size() % parts == 0)
      << task.name();
  const int inputs = task.inputs_size() / parts;
  const int outputs = task.outputs_size() / parts;
  Task result;
  result.set_name(task.name());
  result.set_device(task.device());
  result.set_stream(task.stream());
  result.set_op(task.op());
  *result.mutable_attributes() = task.attributes();
  for (int i = 0; i < inputs; ++i) {
    result.add_inputs(task.inputs(part * inputs + i));
  }
  for (int o = 0; o < outputs; ++o) {
    result.add_outputs(task.outputs(part * outputs + o));
  }
  for (int i : task.mutates()) {
    if (i / inputs == part) result.add_mutates(i % inputs);
  }
  result.set_once(task.once());
  result.set_every(task.every());
  result.set_rank(task.rank());
  result.set_num_ranks(task.num_ranks());
  result.set_layer(task.layer());
  result.set_part(task.part());
  result.set_phase(task.phase());
  return result;
}

}  // namespace facet::placement
