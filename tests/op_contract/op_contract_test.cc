// Holds every registered operator to its contract: see check_op.h.

#include <set>
#include <string>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"
#include "tests/op_contract/check_op.h"

namespace facet::tests {
namespace {

class OpContract : public testing::TestWithParam<const ops::OpDef*> {};

void ExpectNone(const std::vector<std::string>& errors) {
  EXPECT_TRUE(errors.empty()) << errors.size() << " errors:\n"
                              << absl::StrJoin(errors, "\n");
}

TEST_P(OpContract, DefinitionIsComplete) {
  ExpectNone(CheckDefinition(*GetParam(), ops::CpuKernels()));
}

TEST_P(OpContract, ShardedEqualsWhole) {
  ExpectNone(CheckSignatures(*GetParam(), ops::CpuKernels()));
}

TEST_P(OpContract, SameBitsAgainAndInPlace) {
  ExpectNone(CheckInPlace(*GetParam(), ops::CpuKernels()));
}

TEST_P(OpContract, GradientRuleFitsItsInputs) {
  ExpectNone(CheckGradientRule(*GetParam(), ops::FindOpOrGiven));
}

std::vector<const ops::OpDef*> Pointers() {
  std::vector<const ops::OpDef*> pointers;
  for (const ops::OpDef& def : ops::AllOps()) pointers.push_back(&def);
  return pointers;
}

INSTANTIATE_TEST_SUITE_P(
    AllOps, OpContract, testing::ValuesIn(Pointers()),
    [](const testing::TestParamInfo<const ops::OpDef*>& info) {
      return info.param->name;
    });

TEST(OpTable, NamesAreUniqueAndFound) {
  EXPECT_FALSE(ops::AllOps().empty());
  std::set<std::string> names;
  for (const ops::OpDef& def : ops::AllOps()) {
    EXPECT_TRUE(names.insert(def.name).second) << def.name << " twice";
    EXPECT_EQ(ops::FindOp(def.name), &def);
  }
  EXPECT_EQ(ops::FindOp("no_such_op"), nullptr);
}

}  // namespace
}  // namespace facet::tests
