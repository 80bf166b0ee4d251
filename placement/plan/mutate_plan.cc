#include "placement/plan/mutate_plan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"

namespace facet::placement {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

PlanMutator::PlanMutator(const Plan& example, uint64_t seed) : random_(seed) {
  texts_ = {"",      "compute",  "communication", "data",   "host", "float32",
            "int64", "bfloat16", "nchw",          "nChw8c", "B",    "S(0)",
            "S(9)",  "P(max)",   "no_such_name",  "\xff"};
  CollectTexts(example);
  std::sort(texts_.begin(), texts_.end());
  texts_.erase(std::unique(texts_.begin(), texts_.end()), texts_.end());
}

void PlanMutator::CollectTexts(const Message& message) {
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int size =
        field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < size; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        texts_.push_back(field->is_repeated()
                             ? reflection->GetRepeatedString(message, field, i)
                             : reflection->GetString(message, field));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        CollectTexts(field->is_repeated()
                         ? reflection->GetRepeatedMessage(message, field, i)
                         : reflection->GetMessage(message, field));
      }
    }
  }
}

int64_t PlanMutator::Number() {
  static constexpr int64_t kEdges[] = {0,
                                       1,
                                       -1,
                                       2,
                                       63,
                                       64,
                                       128,
                                       INT32_MAX,
                                       INT32_MIN,
                                       INT64_MAX,
                                       INT64_MIN,
                                       INT64_MAX - 63,
                                       int64_t{1} << 40};
  if (Pick(2) == 0) return Pick(20);
  return kEdges[Pick(std::size(kEdges))];
}

int64_t PlanMutator::NumberNear(int64_t value) {
  const auto v = static_cast<uint64_t>(value);  // Wraps around.
  switch (Pick(6)) {
    case 0:
      return static_cast<int64_t>(v + 1);
    case 1:
      return static_cast<int64_t>(v - 1);
    case 2:
      return static_cast<int64_t>(v + 64 * static_cast<uint64_t>(Pick(9)));
    case 3:
      return static_cast<int64_t>(v - 64 * static_cast<uint64_t>(Pick(9)));
    case 4:
      return value / 2;
    default:
      return Number();
  }
}

std::string PlanMutator::MutateRegister(Plan* plan) {
  const int r = Pick(plan->registers_size());
  Register* reg = plan->mutable_registers(r);
  auto what = [&](const char* field) {
    return absl::StrCat(field, ": register ", r, " ", reg->name());
  };
  switch (Pick(8)) {
    case 0:
      reg->set_size_bytes(NumberNear(reg->size_bytes()));
      return what("size_bytes");
    case 1:
      reg->set_arena_offset(NumberNear(reg->arena_offset()));
      return what("arena_offset");
    case 2:  // Where another one lies.
      reg->set_arena_offset(
          plan->registers(Pick(plan->registers_size())).arena_offset());
      return what("arena_offset");
    case 3: {
      auto* dims = Pick(3) == 0   ? reg->mutable_offset()
                   : Pick(2) == 0 ? reg->mutable_shape()
                                  : reg->mutable_global_shape();
      if (dims->empty()) return what("nothing");
      int64_t& dim = *dims->Mutable(Pick(dims->size()));
      dim = NumberNear(dim);
      return what("shape");
    }
    case 4:
      reg->set_credits(static_cast<int32_t>(NumberNear(reg->credits())));
      return what("credits");
    case 5:
      reg->set_device(static_cast<int32_t>(NumberNear(reg->device())));
      return what("device");
    case 6:
      reg->set_slot_stride_bytes(NumberNear(reg->slot_stride_bytes()));
      return what("slot_stride_bytes");
    default:
      reg->set_layout(Text());
      return what("layout");
  }
}

std::string PlanMutator::MutateAttribute(Plan* plan) {
  std::vector<int> with;
  for (int t = 0; t < plan->tasks_size(); ++t) {
    if (plan->tasks(t).attributes_size() > 0) with.push_back(t);
  }
  if (with.empty()) return "nothing";
  const int t = with[Pick(with.size())];
  Task* task = plan->mutable_tasks(t);
  const int a = Pick(task->attributes_size());
  Attribute* attribute = task->mutable_attributes(a);
  const std::string what = absl::StrCat("attribute ", attribute->name(),
                                        ": task ", t, " ", task->name());
  if (Pick(8) == 0) {
    task->mutable_attributes()->DeleteSubrange(a, 1);
    return what;
  }
  switch (attribute->value_case()) {
    case Attribute::kB:
      attribute->set_b(!attribute->b());
      break;
    case Attribute::kI:
      attribute->set_i(NumberNear(attribute->i()));
      break;
    case Attribute::kF: {
      const double values[] = {0,
                               -attribute->f(),
                               attribute->f() * 2,
                               1e300,
                               std::numeric_limits<double>::infinity(),
                               std::nan("")};
      attribute->set_f(values[Pick(std::size(values))]);
      break;
    }
    case Attribute::kS:
      attribute->set_s(Text());
      break;
    case Attribute::kInts: {
      auto* values = attribute->mutable_ints()->mutable_values();
      if (values->empty() || Pick(4) == 0) {
        values->Add(Number());
      } else {
        int64_t& value = *values->Mutable(Pick(values->size()));
        value = NumberNear(value);
      }
      break;
    }
    default:
      attribute->set_name(Text());
  }
  return what;
}

std::string PlanMutator::MutateTask(Plan* plan) {
  const int t = Pick(plan->tasks_size());
  Task* task = plan->mutable_tasks(t);
  auto what = [&](const char* field) {
    return absl::StrCat(field, ": task ", t, " ", task->name());
  };
  switch (Pick(9)) {
    case 8:
      task->set_parts(Pick(2) == 0 ? task->inputs_size() : Pick(5) - 1);
      return what("parts");
    case 0:
      task->set_op(plan->tasks(Pick(plan->tasks_size())).op());
      return what("op");
    case 1: {  // An edge: it reads, or writes, something else.
      auto* registers =
          Pick(3) == 0 ? task->mutable_outputs() : task->mutable_inputs();
      if (registers->empty()) return what("nothing");
      registers->Set(Pick(registers->size()), Pick(plan->registers_size()));
      return what("edge");
    }
    case 2: {
      if (task->waits().empty() || Pick(3) == 0) {
        Wait* wait = task->add_waits();
        wait->set_task(Pick(plan->tasks_size()));
        wait->set_steps(Pick(3));
      } else {
        task->mutable_waits()->DeleteSubrange(Pick(task->waits_size()), 1);
      }
      return what("wait");
    }
    case 3:
      task->set_device(static_cast<int32_t>(NumberNear(task->device())));
      return what("device");
    case 4:
      task->set_workspace_bytes(NumberNear(task->workspace_bytes()));
      task->set_workspace_offset(NumberNear(task->workspace_offset()));
      return what("workspace");
    case 5: {  // To another place in the order.
      const int to = Pick(plan->tasks_size());
      plan->mutable_tasks()->SwapElements(t, to);
      return what("order");
    }
    case 6:
      MutateAnything(task->has_collective()
                         ? static_cast<Message*>(task->mutable_collective())
                         : task);
      return what("anything");
    default:
      task->set_stream(Text());
      return what("stream");
  }
}

std::string PlanMutator::MutateField(Plan* plan) {
  if (plan->registers().empty() || plan->tasks().empty()) return "nothing";
  switch (Pick(8)) {
    case 0:
    case 1:
    case 2:
      return MutateRegister(plan);
    case 3:
    case 4:
      return MutateTask(plan);
    case 5:
    case 6:
      return MutateAttribute(plan);
    default:
      MutateAnything(plan);
      return "anything";
  }
}

void PlanMutator::FlipBits(std::string* bytes) {
  for (int count = 1 + Pick(4); count > 0 && !bytes->empty(); --count) {
    char& byte = (*bytes)[Pick(bytes->size())];
    byte = static_cast<char>(byte ^ (1 << Pick(8)));
  }
}

void PlanMutator::MutateAnything(Message* message) {
  const auto* descriptor = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  const FieldDescriptor* field =
      descriptor->field(Pick(descriptor->field_count()));
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (!field->is_repeated()) {
    if (!is_message) {
      Set(message, field, -1);
    } else if (reflection->HasField(*message, field) && Pick(4) > 0) {
      MutateAnything(reflection->MutableMessage(message, field));
    } else if (Pick(2) == 0) {
      reflection->ClearField(message, field);
    } else {
      MutateAnything(reflection->MutableMessage(message, field));
    }
    return;
  }
  const int size = reflection->FieldSize(*message, field);
  const int action = Pick(8);
  if (size == 0 || action == 0) {
    if (is_message) {
      auto* added = reflection->AddMessage(message, field);
      if (size > 0) {
        added->CopyFrom(
            reflection->GetRepeatedMessage(*message, field, Pick(size)));
      }
    } else {
      Set(message, field, size);
    }
  } else if (action == 1) {
    reflection->RemoveLast(message, field);
  } else if (action == 2) {
    reflection->SwapElements(message, field, Pick(size), Pick(size));
  } else if (is_message) {
    MutateAnything(
        reflection->MutableRepeatedMessage(message, field, Pick(size)));
  } else {
    Set(message, field, Pick(size));
  }
}

void PlanMutator::Set(Message* m, const FieldDescriptor* f, int index) {
  const auto* r = m->GetReflection();
  const bool add = index >= 0 && index == r->FieldSize(*m, f);
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto v = static_cast<int32_t>(Number());
      if (index < 0) {
        r->SetInt32(m, f, v);
      } else if (add) {
        r->AddInt32(m, f, v);
      } else {
        r->SetRepeatedInt32(m, f, index, v);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t v = Number();
      if (index < 0) {
        r->SetInt64(m, f, v);
      } else if (add) {
        r->AddInt64(m, f, v);
      } else {
        r->SetRepeatedInt64(m, f, index, v);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (index < 0) {
        r->SetString(m, f, Text());
      } else if (add) {
        r->AddString(m, f, Text());
      } else {
        r->SetRepeatedString(m, f, index, Text());
      }
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      r->SetDouble(m, f, Pick(3) == 0 ? NAN : 1.0 * Number());
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      r->SetBool(m, f, Pick(2) == 0);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      r->SetEnumValue(m, f, Pick(7) - 1);
      break;
    default:
      break;
  }
}

}  // namespace facet::placement
