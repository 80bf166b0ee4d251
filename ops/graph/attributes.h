// Attributes: the constants of one op application (stride, eps, seed ...), by
// name. Ordered, so that everything printed or hashed from them is
// reproducible. An OpDef's AttributeSpecs say which exist, and their defaults.
#ifndef FACET_OPS_GRAPH_ATTRIBUTES_H_
#define FACET_OPS_GRAPH_ATTRIBUTES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace facet::ops {

using AttributeValue =
    std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;

// "true", "3", "0.5", "\"text\"", "[1, 2]".
std::string AttributeToString(const AttributeValue& value);

class Attributes {
 public:
  Attributes() = default;
  Attributes(
      std::initializer_list<std::pair<const std::string, AttributeValue>> init)
      : values_(init) {}

  bool Has(absl::string_view name) const;
  void Set(absl::string_view name, AttributeValue value);

  // CHECK that the attribute exists and has this type: nodes are checked
  // against their OpDef when they are added, so a miss is a bug.
  bool Bool(absl::string_view name) const;
  int64_t Int(absl::string_view name) const;
  double Float(absl::string_view name) const;
  const std::string& String(absl::string_view name) const;
  const std::vector<int64_t>& Ints(absl::string_view name) const;

  const std::map<std::string, AttributeValue>& values() const {
    return values_;
  }

  friend bool operator==(const Attributes& a, const Attributes& b) {
    return a.values_ == b.values_;
  }

 private:
  const AttributeValue& Get(absl::string_view name) const;
  std::map<std::string, AttributeValue> values_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_ATTRIBUTES_H_
