#include "ops/graph/attributes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"

namespace facet::ops {
namespace {

struct Printer {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return absl::StrCat(value); }
  std::string operator()(double value) const {
    return absl::StrFormat("%.9g", value);
  }
  std::string operator()(const std::string& value) const {
    return absl::StrCat("\"", value, "\"");
  }
  std::string operator()(const std::vector<int64_t>& value) const {
    return absl::StrCat("[", absl::StrJoin(value, ", "), "]");
  }
};

// The value in its type; another type is a bug of the caller.
template <typename T>
const T& As(absl::string_view name, const AttributeValue& value) {
  const T* typed = std::get_if<T>(&value);
  CHECK(typed != nullptr) << "attribute \"" << std::string(name) << "\" is "
                          << AttributeToString(value) << ", of another type";
  return *typed;
}

}  // namespace

std::string AttributeToString(const AttributeValue& value) {
  return std::visit(Printer{}, value);
}

bool Attributes::Has(absl::string_view name) const {
  return values_.count(std::string(name)) > 0;
}

void Attributes::Set(absl::string_view name, AttributeValue value) {
  values_[std::string(name)] = std::move(value);
}

const AttributeValue& Attributes::Get(absl::string_view name) const {
  auto it = values_.find(std::string(name));
  CHECK(it != values_.end()) << "no attribute \"" << std::string(name) << "\"";
  return it->second;
}

bool Attributes::Bool(absl::string_view name) const {
  return As<bool>(name, Get(name));
}
int64_t Attributes::Int(absl::string_view name) const {
  return As<int64_t>(name, Get(name));
}
double Attributes::Float(absl::string_view name) const {
  return As<double>(name, Get(name));
}
const std::string& Attributes::String(absl::string_view name) const {
  return As<std::string>(name, Get(name));
}
const std::vector<int64_t>& Attributes::Ints(absl::string_view name) const {
  return As<std::vector<int64_t>>(name, Get(name));
}

}  // namespace facet::ops
