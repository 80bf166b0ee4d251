#include "placement/plan/small_plan.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "glog/logging.h"
#include "placement/plan/validate.h"

namespace facet::placement {
namespace {

// All operands lie alike.
std::vector<ops::Signature> Alike(const ops::OpCall& call) {
  const int inputs = static_cast<int>(call.inputs.size());
  const int outputs = static_cast<int>(call.outputs.size());
  return {ops::Uniform(inputs, outputs, ops::Sbp::B()),
          ops::Uniform(inputs, outputs, ops::Sbp::PSum()),
          ops::Uniform(inputs, outputs, ops::Sbp::S(0)),
          ops::Uniform(inputs, outputs, ops::Sbp::S(1))};
}

std::vector<ops::OpDef> MakeOps() {
  auto from_shape = [](const ops::OpCall& call,
                       std::vector<ops::TensorType>* outputs) {
    outputs->push_back(
        {ops::DataType::kFloat32, ops::Shape(call.attributes.Ints("shape"))});
    return absl::OkStatus();
  };
  auto same = [](const ops::OpCall& call,
                 std::vector<ops::TensorType>* outputs) {
    for (const ops::TensorType& type : call.inputs) {
      if (type != call.inputs[0]) {
        return absl::InvalidArgumentError("operands differ in type");
      }
    }
    outputs->push_back(call.inputs[0]);
    return absl::OkStatus();
  };
  auto nothing = [](const ops::OpCall&, std::vector<ops::TensorType>*) {
    return absl::OkStatus();
  };
  auto alike = [](const ops::OpCall& call, int) { return Alike(call); };

  ops::OpDef state;
  state.name = "state";
  state.attributes = {{"shape", std::vector<int64_t>{}, true, ""}};
  state.outputs = {"value"};
  state.infer = from_shape;
  state.signatures = alike;
  state.is_variable = true;
  ops::OpDef source = state;
  source.name = "source";
  source.is_variable = false;
  source.stream = ops::StreamKind::kData;
  ops::OpDef work;
  work.name = "work";
  work.inputs = {"a"};
  work.outputs = {"y"};
  work.variadic = true;
  work.infer = same;
  work.signatures = alike;
  work.in_place = {{0, 0}};
  ops::OpDef update;
  update.name = "update";
  update.inputs = {"value", "change"};
  update.infer = nothing;
  update.signatures = alike;
  update.mutates = {0};
  update.has_side_effect = true;
  update.may_group = true;
  ops::OpDef report;
  report.name = "report";
  report.inputs = {"x"};
  report.infer = nothing;
  report.signatures = alike;
  report.stream = ops::StreamKind::kHost;
  report.has_side_effect = true;
  return {state, source, work, update, report};
}

class Builder {
 public:
  Plan plan;
  int device = 0;

  // float32 [16]: 64 bytes.
  int Reg(const std::string& name, int tensor, int64_t offset) {
    Register* reg = plan.add_registers();
    reg->set_name(name);
    reg->set_device(device);
    reg->set_tensor(tensor);
    reg->set_dtype("float32");
    reg->set_layout("nchw");
    reg->add_shape(16);
    reg->add_global_shape(16);
    reg->add_offset(0);
    reg->set_size_bytes(64);
    reg->set_arena_offset(offset);
    reg->set_slot_stride_bytes(64);
    reg->set_credits(1);
    return plan.registers_size() - 1;
  }

  Task* Add(const std::string& name, const std::string& op,
            const std::string& stream, const std::vector<int>& inputs,
            const std::vector<int>& outputs) {
    Task* task = plan.add_tasks();
    task->set_name(name);
    task->set_device(device);
    task->set_stream(stream);
    task->set_op(op);
    task->mutable_inputs()->Add(inputs.begin(), inputs.end());
    task->mutable_outputs()->Add(outputs.begin(), outputs.end());
    task->set_rank(device);
    task->set_num_ranks(2);
    task->set_layer("layer1.0");
    task->set_part("backbone");
    task->set_phase("forward");
    task->set_predicted_seconds(1e-3);
    return task;
  }
};

void SetShape(Task* task) {
  Attribute* shape = task->add_attributes();
  shape->set_name("shape");
  shape->mutable_ints()->add_values(16);
}

}  // namespace

const ops::OpDef* FindTestOp(absl::string_view name) {
  static const std::vector<ops::OpDef>* const kOps =
      new std::vector<ops::OpDef>(MakeOps());
  for (const ops::OpDef& op : *kOps) {
    if (name == op.name) return &op;
  }
  return nullptr;
}

Plan SmallPlan() {
  Builder b;
  b.plan.set_version(kPlanVersion);
  b.plan.set_name("small");
  b.plan.set_predicted_step_seconds(4e-3);
  const char* tensors[] = {"w", "x", "y", "z", "g", "h"};
  for (int t = 0; t < 6; ++t) {
    LogicalTensor* tensor = b.plan.add_tensors();
    tensor->set_name(tensors[t]);
    tensor->set_dtype("float32");
    tensor->add_shape(16);
    tensor->add_sbp(t == 0 || t == 4 ? "B" : "P(sum)");
    tensor->add_devices(0);
    tensor->add_devices(1);
    tensor->set_layer("layer1.0.conv");
    tensor->set_part("backbone");
    tensor->set_variable(t == 0);
  }
  Group* group = b.plan.add_groups();
  group->add_devices(0);
  group->add_devices(1);
  for (int d = 0; d < 2; ++d) {
    b.device = d;
    Device* device = b.plan.add_devices();
    device->set_kind("cpu");
    device->set_name(d == 0 ? "cpu:0" : "cpu:1");
    device->set_cores(1);
    device->set_persistent_bytes(192);
    device->set_arena_bytes(448);
    device->set_live_bytes(448);
    const int w = b.Reg("w", 0, 0);
    b.plan.mutable_registers(w)->set_persistent(true);
    const int x = b.Reg("x", 1, 64);
    b.plan.mutable_registers(x)->set_credits(2);
    const int y = b.Reg("y", 2, 192);
    const int z = b.Reg("z", 3, 192);  // Over y.
    const int g = b.Reg("g", 4, 256);
    const int h = b.Reg("h", 5, 384);

    Task* task = b.Add("w", "state", "compute", {}, {w});
    SetShape(task);
    task->set_once(true);
    SetShape(b.Add("x", "source", "data", {}, {x}));
    task = b.Add("y", "work", "compute", {x, w}, {y});
    task->set_workspace_offset(256);  // Where g comes to lie.
    task->set_workspace_bytes(128);
    task = b.Add("z", "work", "compute", {y}, {z});
    task->add_in_place();
    task = b.Add("g", "", "communication", {z}, {g});
    Collective* collective = task->mutable_collective();
    collective->set_kind(Collective::ALL_REDUCE);
    collective->set_reduce(Collective::SUM);
    collective->set_bytes(64);
    collective->set_transition("P(sum) -> B");
    // The workspace of y is overwritten when z, after y, is done; in the next
    // step by y, when g has been read by the update.
    b.Add("h", "work", "compute", {z}, {h});
    task = b.Add("update", "update", "compute", {w, g}, {});
    task->add_mutates(0);
    task->set_phase("optimizer");
    b.Add("report", "report", "host", {h}, {});
  }
  return b.plan;
}

int TaskNamed(const Plan& plan, absl::string_view name, int device) {
  for (int t = 0; t < plan.tasks_size(); ++t) {
    if (name == plan.tasks(t).name() && plan.tasks(t).device() == device) {
      return t;
    }
  }
  LOG(FATAL) << "no task " << std::string(name);
  return -1;
}

int RegisterNamed(const Plan& plan, absl::string_view name, int device) {
  for (int r = 0; r < plan.registers_size(); ++r) {
    if (name == plan.registers(r).name() &&
        plan.registers(r).device() == device) {
      return r;
    }
  }
  LOG(FATAL) << "no register " << std::string(name);
  return -1;
}

}  // namespace facet::placement
