#include "placement/plan/attribute.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

struct Writer {
  Attribute* to;
  void operator()(bool value) const { to->set_b(value); }
  void operator()(int64_t value) const { to->set_i(value); }
  void operator()(double value) const { to->set_f(value); }
  void operator()(const std::string& value) const { to->set_s(value); }
  void operator()(const std::vector<int64_t>& value) const {
    to->mutable_ints()->mutable_values()->Add(value.begin(), value.end());
  }
};

}  // namespace

void WriteAttributes(const ops::Attributes& attributes, Task* task) {
  for (const auto& [name, value] : attributes.values()) {
    Attribute* attribute = task->add_attributes();
    attribute->set_name(name);
    std::visit(Writer{attribute}, value);
  }
}

absl::StatusOr<ops::Attributes> ReadAttributes(const Task& task) {
  ops::Attributes attributes;
  for (const Attribute& attribute : task.attributes()) {
    if (attributes.Has(attribute.name())) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute \"", attribute.name(), "\" comes twice"));
    }
    ops::AttributeValue value;
    switch (attribute.value_case()) {
      case Attribute::kB:
        value = attribute.b();
        break;
      case Attribute::kI:
        value = static_cast<int64_t>(attribute.i());
        break;
      case Attribute::kF:
        value = attribute.f();
        break;
      case Attribute::kS:
        value = attribute.s();
        break;
      case Attribute::kInts:
        value = std::vector<int64_t>(attribute.ints().values().begin(),
                                     attribute.ints().values().end());
        break;
      case Attribute::VALUE_NOT_SET:
        return absl::InvalidArgumentError(
            absl::StrCat("attribute \"", attribute.name(), "\" has no value"));
    }
    attributes.Set(attribute.name(), std::move(value));
  }
  return attributes;
}

}  // namespace facet::placement
