#include "runtime/actor/task_runner.h"

#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/data_source.h"
#include "placement/plan/small_plan.h"
#include "runtime/actor/fake_device.h"

namespace facet::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Steps : public ops::DataSource {
 public:
  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t*) override {
    std::fill(images + begin, images + end, static_cast<float>(step));
    return absl::OkStatus();
  }
};

// Remembers the last call.
class FakeCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  absl::Status AllReduce(Stream&, ReduceOp op,
                         absl::Span<const ReduceBuffer> buffers) override {
    call = op == ReduceOp::kMax ? "max" : "sum";
    counts.clear();
    reduced.assign(buffers.begin(), buffers.end());
    for (const ReduceBuffer& buffer : buffers) counts.push_back(buffer.count);
    return absl::OkStatus();
  }
  absl::Status AllGather(Stream&, ops::DataType, const void*, void*,
                         absl::Span<const int64_t> c) override {
    call = "gather";
    counts.assign(c.begin(), c.end());
    return absl::OkStatus();
  }
  absl::Status ReduceScatter(Stream&, ReduceOp, ops::DataType, const void*,
                             void*, absl::Span<const int64_t> c) override {
    call = "scatter";
    counts.assign(c.begin(), c.end());
    return absl::OkStatus();
  }
  absl::Status AllToAll(Stream&, ops::DataType, const void*, void*,
                        absl::Span<const int64_t> s,
                        absl::Span<const int64_t> r) override {
    call = "all_to_all";
    counts.assign(s.begin(), s.end());
    counts.insert(counts.end(), r.begin(), r.end());
    return absl::UnavailableError("the wire broke");
  }
  void Abort(absl::Status) override {}

  std::string call;
  std::vector<ReduceBuffer> reduced;
  std::vector<int64_t> counts;
};

class TaskRunnerTest : public testing::Test {
 protected:
  absl::StatusOr<TaskRunner> Make(const char* task) {
    return TaskRunner::Create(
        plan_, plan_.tasks(placement::TaskNamed(plan_, task, 0)), device_.get(),
        &stream_, data(), &communicator_, {0, &source_, nullptr});
  }
  char* data() const { return static_cast<char*>(arena_->data()); }
  float* At(const char* reg, int slot = 0) const {
    const placement::Register& r =
        plan_.registers(placement::RegisterNamed(plan_, reg, 0));
    return reinterpret_cast<float*>(data() + r.arena_offset() +
                                    slot * r.slot_stride_bytes());
  }
  placement::Task* Task(const char* name) {
    return plan_.mutable_tasks(placement::TaskNamed(plan_, name, 0));
  }

  placement::Plan plan_ = placement::SmallPlan();
  std::unique_ptr<Device> device_ = CreateFakeDevice("cpu:0");
  std::unique_ptr<Arena> arena_ =
      *device_->Allocate(plan_.devices(0).arena_bytes());
  Stream stream_;
  Steps source_;
  FakeCommunicator communicator_;
};

TEST_F(TaskRunnerTest, SlotsTakeTurnsForWriterAndReader) {
  auto source = Make("x"), reader = Make("y"), state = Make("w");
  ASSERT_TRUE(source.ok() && reader.ok() && state.ok());
  ASSERT_TRUE(state->Run(-1).ok());
  // The source is a step ahead: it must not touch the slot that y reads.
  ASSERT_TRUE(source->Run(0).ok());
  for (int64_t step = 0; step < 5; ++step) {
    ASSERT_TRUE(source->Run(step + 1).ok());
    ASSERT_TRUE(reader->Run(step).ok());
    EXPECT_EQ(At("y")[7], static_cast<float>(step));
    EXPECT_EQ(At("x", static_cast<int>(step % 2))[0], static_cast<float>(step));
  }
}

TEST_F(TaskRunnerTest, CollectivesGetTheirRegistersAndCounts) {
  placement::Collective* collective = Task("g")->mutable_collective();
  auto run = [&](placement::Collective::Kind kind) {
    collective->set_kind(kind);
    auto runner = Make("g");
    EXPECT_TRUE(runner.ok()) << runner.status();
    return runner->Run(0);
  };
  ASSERT_TRUE(run(placement::Collective::ALL_REDUCE).ok());
  EXPECT_EQ(communicator_.call, "sum");
  ASSERT_EQ(communicator_.reduced.size(), 1u);
  EXPECT_EQ(communicator_.reduced[0].in, At("z"));
  EXPECT_EQ(communicator_.reduced[0].out, At("g"));
  EXPECT_THAT(communicator_.counts, testing::ElementsAre(16));
  // Of several tensors: input i to output i.
  Task("g")->add_inputs(placement::RegisterNamed(plan_, "y", 0));
  Task("g")->add_outputs(placement::RegisterNamed(plan_, "h", 0));
  ASSERT_TRUE(run(placement::Collective::ALL_REDUCE).ok());
  ASSERT_EQ(communicator_.reduced.size(), 2u);
  EXPECT_EQ(communicator_.reduced[0].out, At("g"));
  EXPECT_EQ(communicator_.reduced[1].in, At("y"));
  EXPECT_EQ(communicator_.reduced[1].out, At("h"));
  Task("g")->mutable_inputs()->RemoveLast();
  Task("g")->mutable_outputs()->RemoveLast();
  collective->set_reduce(placement::Collective::MAX);
  ASSERT_TRUE(run(placement::Collective::ALL_REDUCE).ok());
  EXPECT_EQ(communicator_.call, "max");
  collective->add_counts(9);
  collective->add_counts(7);
  ASSERT_TRUE(run(placement::Collective::ALL_GATHER).ok());
  EXPECT_EQ(communicator_.call, "gather");
  EXPECT_THAT(communicator_.counts, testing::ElementsAre(9, 7));
  ASSERT_TRUE(run(placement::Collective::REDUCE_SCATTER).ok());
  EXPECT_EQ(communicator_.call, "scatter");
  collective->add_receive_counts(16);
  collective->add_receive_counts(0);
  EXPECT_EQ(run(placement::Collective::ALL_TO_ALL).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_THAT(communicator_.counts, testing::ElementsAre(9, 7, 16, 0));
}

TEST_F(TaskRunnerTest, NamesTheOpThatHasNoKernel) {
  Task("h")->set_op("fold");
  const absl::Status status = Make("h").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("task h"), HasSubstr("op fold"), HasSubstr("fake")));
}

TEST_F(TaskRunnerTest, FindsValuesThatAreNotFinite) {
  auto runner = Make("h");
  ASSERT_TRUE(runner.ok());
  std::fill_n(At("z"), 16, 1.0f);
  ASSERT_TRUE(runner->Run(0).ok());
  EXPECT_EQ(*runner->NonFiniteOutput(), -1);
  for (float bad : {std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    At("z")[15] = bad;
    ASSERT_TRUE(runner->Run(0).ok());
    EXPECT_EQ(*runner->NonFiniteOutput(), 0);
  }
}

}  // namespace
}  // namespace facet::runtime
