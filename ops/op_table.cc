#include "ops/op_table.h"

#include "absl/container/flat_hash_map.h"
#include "ops/op_definition_list.h"

namespace facet::ops {

const std::vector<OpDef>& AllOps() {
#define FACET_OP(name, function) function(),
  static const std::vector<OpDef>& ops =
      *new std::vector<OpDef>{FACET_FOR_EACH_OP(FACET_OP)};
#undef FACET_OP
  return ops;
}

const OpDef* FindOp(absl::string_view name) {
  static const auto& by_name = *[] {
    auto* map = new absl::flat_hash_map<std::string, const OpDef*>;
    for (const OpDef& def : AllOps()) (*map)[def.name] = &def;
    return map;
  }();
  auto it = by_name.find(std::string(name));
  return it == by_name.end() ? nullptr : it->second;
}

}  // namespace facet::ops
