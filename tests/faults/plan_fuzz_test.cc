// Plans with something changed, in a field or in the bits of the file: each is
// refused with a message, or runs to what it says. None crashes or hangs the
// program. "What it says" is told in two ways: a change that means nothing (an
// offset, a wait) must leave every bit of the training as it was, and any other
// plan must train as its own twin does in which no two registers share memory.
//
// --rounds and --seed make it longer and different.

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gflags/gflags.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "placement/plan/mutate_plan.h"
#include "placement/plan/plan_io.h"
#include "placement/plan/validate.h"
#include "tests/training/small_training.h"

DEFINE_int32(rounds, 1500, "Mutated plans of each kind.");
DEFINE_int32(seed, 20261125, "Of the mutations.");
DEFINE_bool(print_rounds, false, "Name each mutation before it is tried.");

namespace facet::tests {
namespace {

using placement::Plan;

SmallTraining Tiny() {
  SmallTraining training;
  training.devices = 2;
  training.tiny = true;
  training.batch_size = 4;
  training.classes = 11;
  training.steps = 3;
  training.stall_timeout = absl::Seconds(20);
  return training;
}

// What a plan computes, without how it is laid out, ordered and called.
std::string Meaning(Plan plan) {
  plan.clear_name();
  plan.clear_options();
  plan.clear_predicted_step_seconds();
  plan.clear_search_seconds();
  plan.clear_search_lower_bound_seconds();
  plan.clear_checksum();
  for (placement::Device& device : *plan.mutable_devices()) {
    const std::string kind = device.kind();
    device.Clear();
    device.set_kind(kind);
  }
  for (placement::LogicalTensor& tensor : *plan.mutable_tensors()) {
    tensor.clear_layer();
    tensor.clear_part();
  }
  for (placement::Register& reg : *plan.mutable_registers()) {
    reg.clear_name();
    reg.clear_arena_offset();
    reg.clear_slot_stride_bytes();
    reg.clear_credits();
  }
  for (placement::Task& task : *plan.mutable_tasks()) {
    for (auto* text :
         {task.mutable_name(), task.mutable_layer(), task.mutable_part(),
          task.mutable_phase(), task.mutable_stream()}) {
      text->clear();
    }
    task.clear_in_place();
    task.clear_workspace_offset();
    task.clear_workspace_bytes();
    task.clear_waits();
    task.clear_predicted_seconds();
    if (task.has_collective()) {
      task.mutable_collective()->clear_bytes();
      task.mutable_collective()->clear_transition();
      task.mutable_collective()->clear_sequence();
    }
  }
  return plan.SerializeAsString();
}

// The same plan with memory of its own for every register and workspace.
Plan WithoutReuse(Plan plan) {
  for (int d = 0; d < plan.devices_size(); ++d) {
    int64_t end = 0;
    auto place = [&](int64_t bytes) {
      const int64_t offset = end;
      end += (bytes + 63) / 64 * 64;
      return offset;
    };
    for (bool shared : {false, true}) {
      for (placement::Register& reg : *plan.mutable_registers()) {
        const bool is_shared = !reg.persistent() && reg.credits() == 1;
        if (reg.device() != d || is_shared != shared) continue;
        reg.set_slot_stride_bytes((reg.size_bytes() + 63) / 64 * 64);
        reg.set_arena_offset(
            place(reg.slot_stride_bytes() * int64_t{reg.credits()}));
      }
      if (!shared) plan.mutable_devices(d)->set_persistent_bytes(end);
    }
    for (placement::Task& task : *plan.mutable_tasks()) {
      if (task.device() != d) continue;
      task.clear_in_place();
      task.set_workspace_offset(
          task.workspace_bytes() > 0 ? place(task.workspace_bytes()) : 0);
    }
    plan.mutable_devices(d)->set_arena_bytes(
        std::max(end, plan.devices(d).live_bytes()));
    plan.mutable_devices(d)->clear_memory_bytes();
  }
  return plan;
}

bool SameBits(const TrainingResult& a, const TrainingResult& b) {
  if (a.losses.size() != b.losses.size() ||
      a.variables.size() != b.variables.size() ||
      // (Of no step there are no losses, and memcmp takes no null pointer.)
      (!a.losses.empty() &&
       std::memcmp(a.losses.data(), b.losses.data(),
                   a.losses.size() * sizeof(float)) != 0)) {
    return false;
  }
  for (const auto& [name, value] : a.variables) {
    const auto it = b.variables.find(name);
    if (it == b.variables.end() || it->second.data != value.data) return false;
  }
  return true;
}

class PlanFuzzTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<Plan> plan = CompileSmall(Tiny());
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = new Plan(*plan);
    absl::StatusOr<TrainingResult> result = RunPlan(Tiny(), *plan);
    ASSERT_TRUE(result.ok()) << result.status();
    result_ = new TrainingResult(*std::move(result));
  }

  // Refused, by the validator or by the session, or run to the right result.
  void TryPlan(const Plan& plan, const std::string& what) {
    SCOPED_TRACE(what);
    const absl::Status valid = placement::ValidatePlan(plan);
    if (!valid.ok()) {
      ++refused_;
      EXPECT_EQ(valid.code(), absl::StatusCode::kInvalidArgument) << valid;
      EXPECT_TRUE(absl::StartsWith(valid.message(), "plan: ")) << valid;
      return;
    }
    const absl::StatusOr<TrainingResult> ran = RunPlan(Tiny(), plan);
    if (!ran.ok()) {
      ++refused_later_;
      ++later_[std::string(ran.status().message())];
      EXPECT_TRUE(absl::IsInvalidArgument(ran.status()) ||
                  absl::IsResourceExhausted(ran.status()) ||
                  absl::IsFailedPrecondition(ran.status()) ||
                  absl::IsUnimplemented(ran.status()))
          << ran.status();
      return;
    }
    if (Meaning(plan) == Meaning(*plan_)) {
      ++same_meaning_;
      EXPECT_TRUE(SameBits(*ran, *result_));
      return;
    }
    ++other_meaning_;
    const Plan twin = WithoutReuse(plan);
    const absl::StatusOr<TrainingResult> expected = RunPlan(Tiny(), twin);
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_TRUE(SameBits(*ran, *expected));
  }

  void Report() const {
    std::fprintf(stderr,
                 "%d refused, %d refused by the session, %d ran that mean the "
                 "same, %d that mean something else\n",
                 refused_, refused_later_, same_meaning_, other_meaning_);
    for (const auto& [message, count] : later_) {
      std::fprintf(stderr, "  %d x %s\n", count, message.c_str());
    }
  }

  static const Plan* plan_;
  static const TrainingResult* result_;
  int refused_ = 0, refused_later_ = 0, same_meaning_ = 0, other_meaning_ = 0;
  std::map<std::string, int> later_;
};

const Plan* PlanFuzzTest::plan_ = nullptr;
const TrainingResult* PlanFuzzTest::result_ = nullptr;

TEST_F(PlanFuzzTest, TheTwinWithoutReuseTrainsTheSame) {
  const Plan twin = WithoutReuse(*plan_);
  EXPECT_GT(twin.devices(0).arena_bytes(), plan_->devices(0).arena_bytes());
  const absl::StatusOr<TrainingResult> result = RunPlan(Tiny(), twin);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(SameBits(*result, *result_));
}

TEST_F(PlanFuzzTest, ChangedFields) {
  placement::PlanMutator mutator(*plan_, FLAGS_seed);
  for (int round = 0; round < FLAGS_rounds && !HasFailure(); ++round) {
    Plan plan = *plan_;
    std::string what = absl::StrCat("round ", round);
    for (int i = 0; i <= round % 3 / 2; ++i) {
      absl::StrAppend(&what, ", ", mutator.MutateField(&plan));
    }
    if (FLAGS_print_rounds) std::fprintf(stderr, "%s\n", what.c_str());
    TryPlan(plan, what);
  }
  Report();
  EXPECT_GT(refused_, FLAGS_rounds / 3);
  EXPECT_GT(same_meaning_, FLAGS_rounds / 50);
  EXPECT_GT(other_meaning_, FLAGS_rounds / 100);
}

TEST_F(PlanFuzzTest, FlippedBits) {
  placement::PlanMutator mutator(*plan_, FLAGS_seed);
  const std::string path = absl::StrCat(testing::TempDir(), "/flipped.pb");
  const std::string whole = plan_->SerializeAsString();
  int garbage = 0;
  for (int round = 0; round < FLAGS_rounds && !HasFailure(); ++round) {
    std::string bytes = whole;
    mutator.FlipBits(&bytes);
    const std::string what = absl::StrCat("round ", round);
    if (FLAGS_print_rounds) std::fprintf(stderr, "%s\n", what.c_str());
    Plan plan;
    if (!plan.ParseFromString(bytes)) {
      ++garbage;
      continue;
    }
    if (round % 16 == 0) {  // The way through a file, with its checksum right.
      ASSERT_TRUE(placement::WritePlan(plan, path).ok());
      const absl::StatusOr<Plan> read = placement::ReadPlan(path);
      EXPECT_EQ(read.ok(), placement::ValidatePlan(plan).ok()) << what;
    }
    TryPlan(plan, what);
  }
  Report();
  EXPECT_GT(garbage, FLAGS_rounds / 20);
  EXPECT_GT(refused_, FLAGS_rounds / 20);
  EXPECT_GT(same_meaning_, FLAGS_rounds / 50);
}

// Every attribute of every operator: left out, of another type, and, where it
// is a name, a name that nothing has.
TEST_F(PlanFuzzTest, EveryAttributeIsAsked) {
  // Free text.
  auto is_free = [](const placement::Task& task, const std::string& attribute) {
    return task.op() == "fetch" && attribute == "name";
  };
  int names = 0;
  for (int t = 0; t < plan_->tasks_size(); ++t) {
    const placement::Task& task = plan_->tasks(t);
    for (int a = 0; a < task.attributes_size(); ++a) {
      const std::string name = task.attributes(a).name();
      SCOPED_TRACE(absl::StrCat(task.op(), ".", name));
      auto expect_refused = [&](const Plan& plan, const std::string& message) {
        const absl::Status status = placement::ValidatePlan(plan);
        EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
        EXPECT_TRUE(absl::StrContains(status.message(), task.name())) << status;
        EXPECT_TRUE(absl::StrContains(status.message(), message)) << status;
      };
      Plan plan = *plan_;
      plan.mutable_tasks(t)->mutable_attributes()->DeleteSubrange(a, 1);
      expect_refused(plan, absl::StrCat("lacks the attribute \"", name, "\""));
      plan = *plan_;
      placement::Attribute* attribute =
          plan.mutable_tasks(t)->mutable_attributes(a);
      if (attribute->value_case() == placement::Attribute::kB) {
        attribute->set_i(1);
      } else {
        attribute->set_b(true);
      }
      expect_refused(plan, absl::StrCat("attribute \"", name, "\" is a "));
      if (task.attributes(a).value_case() != placement::Attribute::kS ||
          is_free(task, name)) {
        continue;
      }
      ++names;
      attribute->set_s("no_such_name");
      expect_refused(plan, "no_such_name");
    }
  }
  EXPECT_GT(names, 5);
}

}  // namespace
}  // namespace facet::tests

int main(int argc, char** argv) {
  // It complains about every text that is not UTF-8.
  const google::protobuf::LogSilencer silence;
  testing::InitGoogleTest(&argc, argv);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return RUN_ALL_TESTS();
}
