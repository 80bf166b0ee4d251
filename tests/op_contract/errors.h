// Errors: what a check of an op found wrong, one sentence each.
#ifndef FACET_TESTS_OP_CONTRACT_ERRORS_H_
#define FACET_TESTS_OP_CONTRACT_ERRORS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::tests {

// Collects sentences that begin with the op's name.
class Errors {
 public:
  explicit Errors(const ops::OpDef& def) : prefix_("op " + def.name) {}

  template <typename... Parts>
  void Add(const Parts&... parts) {
    errors_.push_back(absl::StrCat(prefix_, ", ", parts...));
  }
  std::vector<std::string>* list() { return &errors_; }
  std::vector<std::string> Take() { return std::move(errors_); }

 private:
  std::string prefix_;
  std::vector<std::string> errors_;
};

}  // namespace facet::tests

#endif  // FACET_TESTS_OP_CONTRACT_ERRORS_H_
