#include "placement/plan/validate.h"

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "placement/plan/mutate_plan.h"
#include "placement/plan/random_execution.h"
#include "placement/plan/small_plan.h"

namespace facet::placement {
namespace {

absl::Status Validate(const Plan& plan) {
  return ValidatePlan(plan, FindTestOp);
}

Task* TaskOf(Plan* plan, const std::string& name, int device = 0) {
  return plan->mutable_tasks(TaskNamed(*plan, name, device));
}
Register* RegOf(Plan* plan, const std::string& name, int device = 0) {
  return plan->mutable_registers(RegisterNamed(*plan, name, device));
}

TEST(ValidatePlan, AcceptsTheSmallPlan) {
  const absl::Status status = Validate(SmallPlan());
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ValidatePlan, AcceptsTasksOnVariablesBetweenSteps) {
  Plan plan = SmallPlan();
  Task* task = plan.add_settle_tasks();
  *task = *TaskOf(&plan, "report");
  task->set_inputs(0, RegisterNamed(plan, "w", 0));
  const absl::Status status = Validate(plan);
  EXPECT_TRUE(status.ok()) << status;
}

// Lets g reduce x too, into a register of its own of so many elements by
// device.
void ReduceTwo(Plan* plan, int64_t on_0, int64_t on_1) {
  for (int d = 0; d < 2; ++d) {
    Task* g = TaskOf(plan, "g", d);
    Register sum = plan->registers(g->outputs(0));
    const int64_t elements = d == 0 ? on_0 : on_1;
    sum.set_name("x_sum");
    sum.set_tensor(-1);
    sum.set_shape(0, elements);
    sum.set_global_shape(0, elements);
    sum.set_size_bytes(4 * elements);
    sum.set_arena_offset(448);
    *plan->add_registers() = sum;
    g->add_inputs(RegisterNamed(*plan, "x", d));
    g->add_outputs(plan->registers_size() - 1);
    plan->mutable_devices(d)->set_arena_bytes(512);
  }
}

// Leaves only what device 0 does, and says that device 1 does the same.
void StateOnce(Plan* plan) {
  std::vector<int> task_id(plan->tasks_size(), -1);
  std::vector<int> register_id(plan->registers_size(), -1);
  Plan once = *plan;
  once.clear_tasks();
  once.clear_registers();
  for (int r = 0; r < plan->registers_size(); ++r) {
    if (plan->registers(r).device() != 0) continue;
    register_id[r] = once.registers_size();
    *once.add_registers() = plan->registers(r);
  }
  for (int t = 0; t < plan->tasks_size(); ++t) {
    if (plan->tasks(t).device() != 0) continue;
    task_id[t] = once.tasks_size();
    *once.add_tasks() = plan->tasks(t);
  }
  for (Task& task : *once.mutable_tasks()) {
    for (int& r : *task.mutable_inputs()) r = register_id[r];
    for (int& r : *task.mutable_outputs()) r = register_id[r];
    for (Wait& wait : *task.mutable_waits())
      wait.set_task(task_id[wait.task()]);
  }
  once.mutable_devices(1)->set_like(0);
  *plan = std::move(once);
}

TEST(ValidatePlan, AcceptsEqualDevicesStatedOnce) {
  Plan plan = SmallPlan();
  StateOnce(&plan);
  const absl::Status status = Validate(plan);
  EXPECT_TRUE(status.ok()) << status;
}

struct Fault {
  std::string what;
  std::function<void(Plan*)> make;
  std::string message;
};

std::vector<Fault> Faults() {
  return {
      {"version", [](Plan* p) { p->set_version(2); }, "has version 2"},
      {"a mesh with too many places",
       [](Plan* p) {
         p->add_mesh()->set_size(2);
         p->add_mesh()->set_size(2);
       },
       "the mesh has 4 places for 2 devices"},
      {"a mesh axis of no devices", [](Plan* p) { p->add_mesh()->set_size(0); },
       "has size 0"},
      {"tensors that lie along fewer axes than the mesh has",
       [](Plan* p) {
         p->add_mesh()->set_size(1);
         p->add_mesh()->set_size(2);
       },
       "SBPs on a mesh of 2 axes (1x2)"},
      {"step time",
       [](Plan* p) { p->set_predicted_step_seconds(std::nan("")); },
       "predicted_step_seconds is nan"},
      {"search time", [](Plan* p) { p->set_search_seconds(-1); },
       "search_seconds is -1"},
      {"bound above the search's result",
       [](Plan* p) { p->set_search_lower_bound_seconds(1); },
       "search_lower_bound_seconds 1 is above"},
      {"a settle task with an output",
       [](Plan* p) { *p->add_settle_tasks() = *TaskOf(p, "y"); },
       "is run between steps"},
      {"a settle task of what a step makes",
       [](Plan* p) { *p->add_settle_tasks() = *TaskOf(p, "report"); },
       "h is not persistent"},
      {"a settle task of nowhere",
       [](Plan* p) {
         *p->add_settle_tasks() = *TaskOf(p, "y");
         p->mutable_settle_tasks(0)->set_device(7);
       },
       "device 7 of"},
      {"a device that is like a later one",
       [](Plan* p) { p->mutable_devices(0)->set_like(1); },
       "device 0 is like device 1, which is not one before it"},
      {"a device that is like one that is like another",
       [](Plan* p) {
         StateOnce(p);
         Device third = p->devices(1);
         third.set_name("cpu:2");
         third.set_like(1);
         *p->add_devices() = third;
       },
       "device 2 is like device 1, which is not one before it"},
      {"a device that is like another, with other memory",
       [](Plan* p) {
         StateOnce(p);
         p->mutable_devices(1)->set_live_bytes(0);
       },
       "but has other figures"},
      {"a register of a device that is like another",
       [](Plan* p) { p->mutable_devices(1)->set_like(0); },
       "is on device 1, which is like another"},
      {"a task of a device that is like another",
       [](Plan* p) {
         StateOnce(p);
         p->mutable_tasks(0)->set_device(1);
       },
       "is on a device that is like another"},
      {"a group of devices that are like others",
       [](Plan* p) {
         StateOnce(p);
         p->add_groups()->add_devices(1);
       },
       "group 1: none of its devices is stated"},
      {"no devices", [](Plan* p) { p->clear_devices(); }, "no devices"},
      {"no kind", [](Plan* p) { p->mutable_devices(1)->clear_kind(); },
       "no kind"},
      {"device name twice",
       [](Plan* p) { p->mutable_devices(1)->set_name("cpu:0"); },
       "two devices are named"},
      {"persistent > arena",
       [](Plan* p) { p->mutable_devices(0)->set_persistent_bytes(1000); },
       "persistent_bytes 1000"},
      {"live > arena",
       [](Plan* p) { p->mutable_devices(0)->set_live_bytes(449); },
       "live_bytes 449"},
      {"cores", [](Plan* p) { p->mutable_devices(0)->set_cores(-1); },
       "device 0 has -1 cores"},
      {"more than the device's memory",
       [](Plan* p) { p->mutable_devices(1)->set_memory_bytes(447); },
       "device 1: arena_bytes 448 not within its memory_bytes 447"},
      {"negative memory",
       [](Plan* p) { p->mutable_devices(1)->set_memory_bytes(-1); },
       "not within its memory_bytes -1"},
      {"group of nobody",
       [](Plan* p) { p->mutable_groups(0)->clear_devices(); },
       "group 0: has no devices"},
      {"group of device 7",
       [](Plan* p) { p->mutable_groups(0)->set_devices(1, 7); },
       "group 0: device 7 of 2"},
      {"group has a device twice",
       [](Plan* p) { p->mutable_groups(0)->set_devices(1, 0); },
       "device 0 twice"},
      {"tensor type",
       [](Plan* p) { p->mutable_tensors(1)->set_dtype("float99"); }, "float99"},
      {"tensor sbp",
       [](Plan* p) { p->mutable_tensors(1)->set_sbp(0, std::string("Q")); },
       "tensor 1 x"},
      {"tensor split too thin",
       [](Plan* p) { p->mutable_tensors(1)->set_sbp(0, "S(1)"); },
       "cannot be S(1)"},
      {"tensor of two meshes",
       [](Plan* p) { p->mutable_tensors(1)->add_sbp("B"); }, "has 2 SBPs"},
      {"tensor of high rank",
       [](Plan* p) {
         for (int i = 0; i < 8; ++i) p->mutable_tensors(1)->add_shape(1);
       },
       "rank 9, at most 8"},
      {"tensor without elements",
       [](Plan* p) { p->mutable_tensors(1)->set_shape(0, 0); },
       "has a dimension below 1"},
      {"variable twice", [](Plan* p) { *p->add_tensors() = p->tensors(0); },
       "variable w: comes twice"},
      {"variable elsewhere",
       [](Plan* p) { p->mutable_tensors(0)->mutable_devices()->RemoveLast(); },
       "register 6 w is elsewhere"},
      {"variable in two registers",
       [](Plan* p) {
         *p->add_registers() = p->registers(RegisterNamed(*p, "w", 0));
       },
       "device 0 has two registers of it"},
      {"variable of other shape",
       [](Plan* p) { p->mutable_tensors(0)->set_sbp(0, "S(0)"); },
       "S(0) gives it [8]"},
      {"variable without register",
       [](Plan* p) { p->mutable_tensors(2)->set_variable(true); },
       "no persistent register"},
      {"register device", [](Plan* p) { RegOf(p, "y")->set_device(2); },
       "register 2 y: device 2 of 2"},
      {"register layout", [](Plan* p) { RegOf(p, "y")->set_layout("abc"); },
       "abc"},
      {"register layout rank",
       [](Plan* p) { RegOf(p, "y")->set_layout("nhwc"); },
       "cannot have layout nhwc"},
      {"register size", [](Plan* p) { RegOf(p, "y")->set_size_bytes(60); },
       "size_bytes 60"},
      {"register shape overflow",
       [](Plan* p) { RegOf(p, "y")->set_shape(0, int64_t{1} << 62); },
       "too large"},
      {"register share outside",
       [](Plan* p) { RegOf(p, "y")->set_offset(0, 1); }, "is not within"},
      {"register other than tensor",
       [](Plan* p) { RegOf(p, "y")->set_tensor(-2); }, "tensor -2"},
      {"register type", [](Plan* p) { RegOf(p, "y")->set_dtype("int32"); },
       "is not tensor y"},
      {"register credits", [](Plan* p) { RegOf(p, "y")->set_credits(0); },
       "credits 0"},
      {"register unaligned",
       [](Plan* p) { RegOf(p, "y")->set_arena_offset(200); },
       "multiples of 64"},
      {"register beyond the arena",
       [](Plan* p) { RegOf(p, "h")->set_arena_offset(448); }, "does not fit"},
      {"slots closer than they are long",
       [](Plan* p) { RegOf(p, "x")->set_slot_stride_bytes(0); },
       "slot_stride_bytes 0 is less than size_bytes 64"},
      {"register of two ranks", [](Plan* p) { RegOf(p, "y")->add_offset(0); },
       "shape, global_shape and offset differ in rank"},
      {"register far beyond the arena",
       [](Plan* p) { RegOf(p, "h")->set_arena_offset(0x7fffffffffffffc0); },
       "does not fit"},
      {"shared register in the persistent part",
       [](Plan* p) { RegOf(p, "h")->set_arena_offset(0); },
       "within the persistent part"},
      {"persistent with slots", [](Plan* p) { RegOf(p, "w")->set_credits(2); },
       "persistent with 2"},
      {"persistent registers overlap",
       [](Plan* p) { RegOf(p, "x")->set_arena_offset(0); },
       "overlap in the persistent part"},
      {"task device", [](Plan* p) { TaskOf(p, "z")->set_device(9); },
       "device 9 of 2"},
      {"task stream", [](Plan* p) { TaskOf(p, "z")->set_stream("gpu"); },
       "stream \"gpu\""},
      {"task register range",
       [](Plan* p) { TaskOf(p, "z")->set_inputs(0, 99); }, "register 99"},
      {"task register of another device",
       [](Plan* p) {
         TaskOf(p, "z")->set_inputs(0, RegisterNamed(*p, "y", 1));
       },
       "is on device 1"},
      {"op", [](Plan* p) { TaskOf(p, "z")->set_op("wrok"); },
       "unknown op \"wrok\""},
      {"operand count", [](Plan* p) { TaskOf(p, "report")->clear_inputs(); },
       "takes (x)"},
      {"attribute missing", [](Plan* p) { TaskOf(p, "x")->clear_attributes(); },
       "lacks the attribute \"shape\""},
      {"attribute type",
       [](Plan* p) { TaskOf(p, "x")->mutable_attributes(0)->set_i(3); },
       "is a int, expected a ints"},
      {"attribute unknown",
       [](Plan* p) {
         Attribute* a = TaskOf(p, "z")->add_attributes();
         a->set_name("q");
         a->set_b(true);
       },
       "has 1 attributes, op work has 0"},
      {"attribute without value",
       [](Plan* p) { TaskOf(p, "z")->add_attributes()->set_name("q"); },
       "has no value"},
      {"types not as inferred",
       [](Plan* p) {
         TaskOf(p, "x")->mutable_attributes(0)->mutable_ints()->set_values(0,
                                                                           17);
       },
       "op source gives float32[17]"},
      {"shares that no signature gives",
       [](Plan* p) {
         Register* h = RegOf(p, "h");
         h->set_shape(0, 8);
         h->set_size_bytes(32);
       },
       "no signature of op work"},
      {"rank", [](Plan* p) { TaskOf(p, "z")->set_rank(2); }, "rank 2 of 2"},
      {"predicted seconds",
       [](Plan* p) { TaskOf(p, "z")->set_predicted_seconds(-1); },
       "predicted_seconds -1"},
      {"updates forgotten",
       [](Plan* p) { TaskOf(p, "update")->clear_mutates(); },
       "mutates inputs {}, op update {0}"},
      {"updates twice", [](Plan* p) { TaskOf(p, "update")->add_mutates(0); },
       "mutates input 0 of 2, or twice"},
      {"updates what is not persistent",
       [](Plan* p) { TaskOf(p, "update")->set_mutates(0, 1); },
       "which is not persistent"},
      {"in place not allowed",
       [](Plan* p) { TaskOf(p, "y")->add_in_place()->set_input(1); },
       "cannot lie over input 1"},
      {"in place elsewhere", [](Plan* p) { TaskOf(p, "h")->add_in_place(); },
       "cannot lie over input 0"},
      {"in place twice", [](Plan* p) { TaskOf(p, "z")->add_in_place(); },
       "is not of its operands, or twice"},
      {"in place of different slots",
       [](Plan* p) { RegOf(p, "z")->set_arena_offset(384); },
       "cannot lie over input 0"},
      {"workspace in the persistent part",
       [](Plan* p) { TaskOf(p, "y")->set_workspace_offset(64); },
       "is not within the shared part of the arena"},
      {"workspace beyond",
       [](Plan* p) { TaskOf(p, "y")->set_workspace_bytes(1 << 20); },
       "the workspace of 1048576 bytes"},
      {"workspace overflow",
       [](Plan* p) { TaskOf(p, "y")->set_workspace_bytes(0x7fffffffffffffff); },
       "the workspace of"},
      {"wait range", [](Plan* p) { TaskOf(p, "y")->add_waits()->set_task(-1); },
       "waits for task -1"},
      {"wait steps",
       [](Plan* p) {
         Wait* wait = TaskOf(p, "y")->add_waits();
         wait->set_task(TaskNamed(*p, "z", 0));
         wait->set_steps(2);
       },
       "a wait over 2 steps"},
      {"wait for another device",
       [](Plan* p) {
         TaskOf(p, "y")->add_waits()->set_task(TaskNamed(*p, "z", 1));
       },
       "on one device"},
      {"two writers",
       [](Plan* p) {
         TaskOf(p, "h")->set_outputs(0, RegisterNamed(*p, "y", 0));
       },
       "writes too"},
      {"no writer",
       [](Plan* p) {
         TaskOf(p, "h")->set_inputs(0, RegisterNamed(*p, "h", 0));
         TaskOf(p, "h")->set_outputs(0, RegisterNamed(*p, "z", 0));
         TaskOf(p, "z")->clear_in_place();
       },
       "writes too"},
      {"read more often than written",
       [](Plan* p) { TaskOf(p, "y")->set_every(3); },
       "works in every 1 steps, but reads"},
      {"at odds with what it reads",
       [](Plan* p) {
         TaskOf(p, "h")->set_every(4);
         TaskOf(p, "report")->set_every(6);
       },
       "works in every 6 steps, but reads"},
      {"once and seldom", [](Plan* p) { TaskOf(p, "w")->set_every(2); },
       "but runs once"},
      {"less than never", [](Plan* p) { TaskOf(p, "h")->set_every(-2); },
       "works in every -2 steps"},
      {"collective of other steps",
       [](Plan* p) {
         TaskOf(p, "g")->set_every(2);
         TaskOf(p, "update")->set_every(2);
       },
       "in the steps that it works in"},
      {"persistent written every step",
       [](Plan* p) { TaskOf(p, "w")->set_once(false); }, "but not once"},
      {"persistent not written",
       [](Plan* p) { p->mutable_tasks()->DeleteSubrange(0, 1); },
       "nobody writes"},
      {"read before it is written, once",
       [](Plan* p) {
         Task* w = TaskOf(p, "w");
         w->set_op("work");
         w->clear_attributes();
         w->add_inputs(RegisterNamed(*p, "w", 0));
       },
       "reads register 0 w before it is written"},
      {"once, of what a step makes",
       [](Plan* p) {
         Register copy = *RegOf(p, "w");
         copy.set_name("late");
         copy.set_tensor(-1);
         copy.set_arena_offset(192);
         *p->add_registers() = copy;
         for (Device& device : *p->mutable_devices()) {
           device.set_persistent_bytes(256);
           device.set_arena_bytes(512);
         }
         for (Register& reg : *p->mutable_registers()) {
           if (reg.arena_offset() >= 192 && reg.name() != "late") {
             reg.set_arena_offset(reg.arena_offset() + 64);
           }
         }
         for (Task& task : *p->mutable_tasks()) {
           if (task.workspace_bytes() > 0) task.set_workspace_offset(320);
         }
         Task* task = p->add_tasks();
         *task = *TaskOf(p, "h");
         task->set_name("late");
         task->set_once(true);
         task->set_outputs(0, p->registers_size() - 1);
       },
       "runs once, but reads register 3 z of a step"},
      {"memory written while in use",
       [](Plan* p) { RegOf(p, "h")->set_arena_offset(192); },
       "writes register 5 h over register 3 z"},
      {"memory reused by another stream without a wait",
       [](Plan* p) {
         // h over g: g may still be under way, or not yet read.
         RegOf(p, "h")->set_arena_offset(256);
       },
       "may still be using"},
      {"update before a reader",
       [](Plan* p) {
         // h reads w, on another stream and after nothing.
         TaskOf(p, "report")->set_inputs(0, RegisterNamed(*p, "w", 0));
       },
       "may update register 0 w before"},
      {"two updates",
       [](Plan* p) {
         Task copy = *TaskOf(p, "update");
         copy.set_name("update_2");
         *p->add_tasks() = copy;
       },
       "one task of every step may do that"},
      {"collective sequence",
       [](Plan* p) { TaskOf(p, "g")->mutable_collective()->set_sequence(1); },
       "has sequence 1, but is number 0"},
      {"collective group",
       [](Plan* p) { TaskOf(p, "g")->mutable_collective()->set_group(1); },
       "group 1 of 1"},
      {"collective of devices without it",
       [](Plan* p) {
         Group* alone = p->add_groups();
         alone->add_devices(1);
         TaskOf(p, "g")->mutable_collective()->set_group(1);
       },
       "is not on a device of its group 1, {1}"},
      {"collective with a workspace",
       [](Plan* p) {
         TaskOf(p, "g")->set_workspace_bytes(64);
         TaskOf(p, "g")->set_workspace_offset(256);
       },
       "a collective has no op, parts, attributes, updates or "},
      {"collective without operands",
       [](Plan* p) { TaskOf(p, "g")->clear_inputs(); },
       "has 0 inputs and 1 outputs"},
      {"all-reduce of two into one",
       [](Plan* p) {
         Task* g = TaskOf(p, "g");
         g->add_inputs(g->inputs(0));
       },
       "has 2 inputs and 1 outputs"},
      {"all-gather of two",
       [](Plan* p) {
         ReduceTwo(p, 16, 16);
         for (int d = 0; d < 2; ++d) {
           Collective* c = TaskOf(p, "g", d)->mutable_collective();
           c->set_kind(Collective::ALL_GATHER);
           c->set_reduce(Collective::NONE);
           c->add_counts(16);
           c->add_counts(16);
         }
       },
       "has 2 inputs and 2 outputs"},
      {"all-reduce into another size", [](Plan* p) { ReduceTwo(p, 8, 16); },
       "input and output 1 have 16 and 8 elements"},
      {"all-reduce over another input",
       [](Plan* p) {
         ReduceTwo(p, 16, 16);
         InPlace* pair = TaskOf(p, "g")->add_in_place();
         pair->set_input(0);
         pair->set_output(1);
         RegOf(p, "x_sum")->set_arena_offset(RegOf(p, "z")->arena_offset());
       },
       "output 1 cannot lie over input 0"},
      {"collectives of a group on two streams",
       [](Plan* p) {
         Task second = *TaskOf(p, "g");
         second.set_name("g2");
         second.set_stream("compute");
         second.set_outputs(0, RegisterNamed(*p, "h", 0));
         TaskOf(p, "h")->set_op("report");
         TaskOf(p, "h")->clear_outputs();
         second.clear_in_place();
         second.mutable_collective()->set_sequence(1);
         *p->add_tasks() = second;
       },
       "of the same group on another"},
      {"collective of other sizes",
       [](Plan* p) {
         for (const char* name : {"z", "g"}) {
           Register* reg = RegOf(p, name, 1);
           reg->set_tensor(-1);
           reg->set_shape(0, 8);
           reg->set_global_shape(0, 8);
           reg->set_size_bytes(32);
         }
         // Its neighbours go with it, but for the update.
         Register* y = RegOf(p, "y", 1);
         y->set_tensor(-1);
         y->set_shape(0, 8);
         y->set_global_shape(0, 8);
         y->set_size_bytes(32);
         for (const char* name : {"x", "w", "h"}) {
           Register* reg = RegOf(p, name, 1);
           if (reg->persistent()) continue;
           reg->set_tensor(-1);
           reg->set_shape(0, 8);
           reg->set_global_shape(0, 8);
           reg->set_size_bytes(32);
         }
         TaskOf(p, "x", 1)->mutable_attributes(0)->mutable_ints()->set_values(
             0, 8);
         Task* task = TaskOf(p, "y", 1);
         task->mutable_inputs()->RemoveLast();
         p->mutable_tasks()->DeleteSubrange(TaskNamed(*p, "update", 1), 1);
       },
       "does not match task 4 g (collective, device 0) in size"},
      {"collective kind differs",
       [](Plan* p) {
         TaskOf(p, "g", 1)->mutable_collective()->set_reduce(Collective::MAX);
       },
       "does not match"},
      {"collective without reduction",
       [](Plan* p) {
         TaskOf(p, "g")->mutable_collective()->set_reduce(Collective::NONE);
       },
       "reduce NONE in ALL_REDUCE"},
      {"collective counts",
       [](Plan* p) {
         TaskOf(p, "g")->mutable_collective()->set_kind(Collective::ALL_GATHER);
         TaskOf(p, "g")->mutable_collective()->set_reduce(Collective::NONE);
         TaskOf(p, "g")->mutable_collective()->add_counts(16);
         TaskOf(p, "g")->mutable_collective()->add_counts(16);
       },
       "elements, its counts"},
      {"parts of a collective", [](Plan* p) { TaskOf(p, "g")->set_parts(2); },
       "a collective has no op, parts"},
      {"a negative number of parts",
       [](Plan* p) { TaskOf(p, "y")->set_parts(-1); }, "has -1 parts"},
      {"parts of an op that has none",
       [](Plan* p) { TaskOf(p, "z")->set_parts(1 << 30); },
       "op work is not one that may have parts"},
      {"a part that mutates what another uses",
       [](Plan* p) {
         Task* update = TaskOf(p, "update");
         update->set_parts(2);
         for (int input : {1, 1}) update->add_inputs(update->inputs(input));
         update->set_inputs(3, update->inputs(0));
       },
       "part 0 mutates register"},
      {"parts of different types",
       [](Plan* p) {
         Task* update = TaskOf(p, "update");
         update->set_parts(2);
         *p->add_registers() = p->registers(update->inputs(1));
         Register* change = p->mutable_registers(p->registers_size() - 1);
         change->set_dtype("int32");
         change->set_tensor(-1);
         update->add_inputs(update->inputs(1));
         update->add_inputs(p->registers_size() - 1);
       },
       "is int32 in part 1, float32 in part 0"},
      {"operands that the parts cannot share",
       [](Plan* p) { TaskOf(p, "update")->set_parts(3); },
       "for 3 parts, which have as many each"},
      {"collective missing on a member",
       [](Plan* p) {
         Task* g = TaskOf(p, "g", 1);
         g->clear_collective();
         g->set_op("work");
       },
       "takes part in 0 collectives"},
      {"collective rank", [](Plan* p) { TaskOf(p, "g")->set_rank(1); },
       "is rank 0 of 2"},
      {"deadlock on a device",
       [](Plan* p) {
         TaskOf(p, "y")->add_waits()->set_task(TaskNamed(*p, "update", 0));
       },
       "deadlock"},
  };
}

TEST(ValidatePlan, NamesEveryFault) {
  for (const Fault& fault : Faults()) {
    Plan plan = SmallPlan();
    fault.make(&plan);
    const absl::Status status = Validate(plan);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << fault.what;
    EXPECT_TRUE(absl::StrContains(status.message(), fault.message))
        << fault.what << ": " << status;
  }
}

TEST(ValidatePlan, AnAllReduceMayBeOfSeveral) {
  Plan plan = SmallPlan();
  ReduceTwo(&plan, 16, 16);
  EXPECT_TRUE(Validate(plan).ok()) << Validate(plan);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_TRUE(ExecuteRandomly(plan, 3, seed).ok());
  }
}

TEST(ValidatePlan, FindsADeadlockBetweenDevices) {
  // Two groups of the same devices; device 1 comes to them the other way.
  Plan plan = SmallPlan();
  *plan.add_groups() = plan.groups(0);
  for (int d = 0; d < 2; ++d) {
    const int t = TaskNamed(plan, "g", d);
    Task second = plan.tasks(t);
    second.set_name("g2");
    second.mutable_collective()->set_group(1);
    Register out = plan.registers(second.outputs(0));
    out.set_name("g2");
    out.set_tensor(-1);
    out.set_arena_offset(448);
    *plan.add_registers() = out;
    second.set_outputs(0, plan.registers_size() - 1);
    plan.mutable_devices(d)->set_arena_bytes(512);
    *plan.add_tasks() = second;
    if (d == 1) {  // To before g.
      for (int i = plan.tasks_size() - 1; i > t; --i) {
        plan.mutable_tasks()->SwapElements(i, i - 1);
      }
    }
  }
  const absl::Status status = Validate(plan);
  EXPECT_TRUE(absl::StrContains(status.message(), "deadlock")) << status;
  bool stalls = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    stalls = stalls || !ExecuteRandomly(plan, 2, seed).ok();
  }
  EXPECT_TRUE(stalls);
}

TEST(ValidatePlan, GarbageIsRefusedOrHarmless) {
  const Plan good = SmallPlan();
  PlanMutator mutator(good, 20261123);
  int accepted = 0;
  int refused = 0;
  for (int round = 0; round < 30000; ++round) {
    Plan plan = good;
    for (int i = 0; i <= round % 3; ++i) mutator.MutateAnything(&plan);
    if (!Validate(plan).ok()) {
      ++refused;
      continue;
    }
    ++accepted;
    // What is accepted runs, and nothing is overwritten.
    const absl::Status ran = ExecuteRandomly(plan, 3, round);
    ASSERT_TRUE(ran.ok()) << ran << "\n" << plan.DebugString();
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 10000);
}

}  // namespace
}  // namespace facet::placement
