// Holds every registered operator to its contract: see check_op.h.

#include <set>
#include <string>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/given_op.h"
#include "tests/op_contract/check_op.h"

namespace facet::tests {
namespace {

// An op and a device's kernel for it.
struct Subject {
  const ops::OpDef* op;
  const ops::KernelLibrary* kernels;
};

class OpContract : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    if (kernels().device_kind != "cuda") return;
    const std::string reason = ops::CudaUnavailable();
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
  const ops::OpDef& op() const { return *GetParam().op; }
  const ops::KernelLibrary& kernels() const { return *GetParam().kernels; }
};

void ExpectNone(const std::vector<std::string>& errors) {
  EXPECT_TRUE(errors.empty()) << errors.size() << " errors:\n"
                              << absl::StrJoin(errors, "\n");
}

TEST_P(OpContract, DefinitionIsComplete) {
  ExpectNone(CheckDefinition(op(), kernels()));
}

TEST_P(OpContract, ShardedEqualsWhole) {
  ExpectNone(CheckSignatures(op(), kernels()));
}

TEST_P(OpContract, SameBitsAgainAndInPlace) {
  ExpectNone(CheckInPlace(op(), kernels()));
}

TEST_P(OpContract, SameBitsAsPartOfATask) {
  ExpectNone(CheckGroups(op(), kernels()));
}

// CPUs need not round, and a GPU's library may find that it does not pay.
TEST_P(OpContract, RoundsFactorsIfItMay) {
  if (kernels().device_kind != "cuda" || !ops::CudaIsEmulated()) return;
  ExpectNone(CheckRounds(op(), kernels()));
}

TEST_P(OpContract, GradientRuleFitsItsInputs) {
  ExpectNone(CheckGradientRule(op(), ops::FindOpOrGiven));
}

// Every op on CPUs; on CUDA devices those that have a kernel.
std::vector<Subject> Subjects() {
  std::vector<Subject> subjects;
  for (const ops::OpDef& op : ops::AllOps()) {
    subjects.push_back({&op, &ops::CpuKernels()});
    if (ops::CudaKernelsOnHost().find(op.name) != nullptr) {
      subjects.push_back({&op, &ops::CudaKernelsOnHost()});
    }
  }
  return subjects;
}

INSTANTIATE_TEST_SUITE_P(AllOps, OpContract, testing::ValuesIn(Subjects()),
                         [](const testing::TestParamInfo<Subject>& info) {
                           return info.param.op->name + "_" +
                                  std::string(info.param.kernels->device_kind);
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
