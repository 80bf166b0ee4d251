// Every transition between SBPs and sets of devices, executed with the real
// kernels and the real communicators, against the single-device oracle: the
// value itself.

#include "placement/boxing/boxing.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "ops/testing/interpreter.h"
#include "placement/boxing/boxing_cost.h"
#include "tests/boxing/run_boxing.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::HostValue;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

// On CPU and on CUDA devices.
class BoxingOnDevicesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "cpu") {
      machine_ = CpuMachine();
      return;
    }
    num_devices_ = 4;
    auto machine = CudaMachine(num_devices_);
    if (!machine.ok()) GTEST_SKIP() << machine.status().message();
    machine_ = *std::move(machine);
  }

  void CheckTransition(const TensorType& type, const Location& from,
                       const Location& to);
  void CheckAll(const TensorType& type, const std::vector<int>& from_devices,
                const std::vector<int>& to_devices);

  int num_devices_ = 5;
  std::unique_ptr<BoxingMachine> machine_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, BoxingOnDevicesTest,
                         testing::Values("cpu", "cuda"),
                         [](const auto& kind) { return kind.param; });

void BoxingOnDevicesTest::CheckTransition(const TensorType& type,
                                          const Location& from,
                                          const Location& to) {
  const auto lowered = LowerBoxing(type, from, to);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  const BoxingProgram& program = *lowered;
  const HostValue whole = IntegersOf(type);
  const int from_count = static_cast<int>(from.devices.size());
  const int to_count = static_cast<int>(to.devices.size());
  ASSERT_EQ(program.inputs.size(), from.devices.size());
  ASSERT_EQ(program.outputs.size(), to.devices.size());
  std::map<int, HostValue> shares;
  for (int r = 0; r < from_count; ++r) {
    EXPECT_EQ(program.values[program.inputs[r]].device, from.devices[r]);
    shares[from.devices[r]] = ops::TakeShare(whole, from.sbp, from_count, r);
  }
  const auto results = RunBoxing({program}, type, shares, *machine_);
  ASSERT_TRUE(results.ok()) << results.status();

  std::vector<HostValue> by_rank;
  for (int r = 0; r < to_count; ++r) {
    const BoxingValue& value = program.values[program.outputs[r]];
    EXPECT_EQ(value.device, to.devices[r]);
    EXPECT_EQ(value.region.shape,
              ops::LocalRegion(type.shape, to.sbp, to_count, r).shape);
    by_rank.push_back(results->at(to.devices[r]));
  }
  const auto joined = ops::JoinShares(by_rank, to.sbp);
  ASSERT_TRUE(joined.ok()) << joined.status();
  ExpectSameValue(*joined, whole, from.sbp == Sbp::PSum());
}

std::vector<Sbp> AllSbps(const Shape& shape, int devices) {
  std::vector<Sbp> sbps = {Sbp::B(), Sbp::PSum(), Sbp::PMax()};
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (ops::IsShardable(shape, Sbp::S(axis), devices)) {
      sbps.push_back(Sbp::S(axis));
    }
  }
  return sbps;
}

std::string Name(const TensorType& type, const Location& from,
                 const Location& to) {
  std::string text = type.ToString();
  for (const Location* location : {&from, &to}) {
    absl::StrAppend(&text, " ", location->sbp.ToString(), " on ",
                    absl::StrJoin(location->devices, ","));
  }
  return text;
}

void BoxingOnDevicesTest::CheckAll(const TensorType& type,
                                   const std::vector<int>& from_devices,
                                   const std::vector<int>& to_devices) {
  const int from_count = static_cast<int>(from_devices.size());
  const int to_count = static_cast<int>(to_devices.size());
  for (const Sbp& a : AllSbps(type.shape, from_count)) {
    for (const Sbp& b : AllSbps(type.shape, to_count)) {
      const Location from{from_devices, a}, to{to_devices, b};
      SCOPED_TRACE(Name(type, from, to));
      if (a.is_partial() && b.is_partial() && a != b) {
        EXPECT_EQ(LowerBoxing(type, from, to).status().code(),
                  absl::StatusCode::kInvalidArgument);
        continue;
      }
      CheckTransition(type, from, to);
    }
  }
}

// Even and uneven splits, a leading dimension of one, a scalar, rank 4.
const std::vector<Shape>& Shapes() {
  static const auto& shapes = *new std::vector<Shape>{
      {12, 12}, {7, 5}, {1, 9, 4}, {5, 4, 6}, {}, {13}, {4, 5, 4, 7}};
  return shapes;
}

TEST_P(BoxingOnDevicesTest, SameDevices) {
  for (const std::vector<int>& devices :
       std::vector<std::vector<int>>{{0}, {0, 1}, {0, 1, 2}, {3, 1, 0, 2}}) {
    for (const Shape& shape : Shapes()) {
      CheckAll({DataType::kFloat32, shape}, devices, devices);
    }
  }
}

TEST_P(BoxingOnDevicesTest, OverlappingAndDisjointDevices) {
  struct Sets {
    std::vector<int> from, to;
  };
  for (const Sets& sets : std::vector<Sets>{{{0, 1}, {1, 0}},
                                            {{0, 1}, {2, 3}},
                                            {{0, 1, 2}, {1, 2, 3}},
                                            {{0}, {0, 1, 2}},
                                            {{0, 1, 2}, {1}},
                                            {{2, 0}, {1, 3, 4}},
                                            {{0, 1, 2, 3}, {0, 1}}}) {
    if (std::max(sets.from.back(), sets.to.back()) >= num_devices_) continue;
    for (const Shape& shape : Shapes()) {
      CheckAll({DataType::kFloat32, shape}, sets.from, sets.to);
    }
  }
}

TEST_P(BoxingOnDevicesTest, EveryType) {
  for (DataType dtype : {DataType::kFloat16, DataType::kBFloat16,
                         DataType::kInt32, DataType::kInt64}) {
    CheckAll({dtype, {7, 5}}, {0, 1, 2}, {0, 1, 2});
    CheckAll({dtype, {7, 5}}, {0, 1, 2}, {2, 3});
  }
}

// design: bytes per device of a tensor of T bytes on k devices.
TEST(BoxingTest, BytesAreTheClosedFormulas) {
  const TensorType type{DataType::kFloat32, {24, 48}};
  const int64_t t = type.size_bytes();
  for (int k : {2, 3, 4}) {
    std::vector<int> devices;
    for (int d = 0; d < k; ++d) devices.push_back(d);
    auto bytes = [&](Sbp from, Sbp to) {
      return LowerBoxing(type, {devices, from}, {devices, to})
          ->bytes_per_device;
    };
    EXPECT_EQ(bytes(Sbp::S(0), Sbp::B()), t * (k - 1) / k);
    EXPECT_EQ(bytes(Sbp::S(1), Sbp::B()), t * (k - 1) / k);
    EXPECT_EQ(bytes(Sbp::PSum(), Sbp::B()), 2 * t * (k - 1) / k);
    EXPECT_EQ(bytes(Sbp::PMax(), Sbp::S(1)), t * (k - 1) / k);
    EXPECT_EQ(bytes(Sbp::S(0), Sbp::S(1)), t * (k - 1) / (k * k));
    EXPECT_EQ(bytes(Sbp::B(), Sbp::S(0)), 0);
    EXPECT_EQ(bytes(Sbp::B(), Sbp::PSum()), 0);
    EXPECT_EQ(bytes(Sbp::S(1), Sbp::PSum()), 0);
  }
}

TEST(BoxingTest, ImpossibleTransitionsAreRefusedByName) {
  const TensorType type{DataType::kFloat32, {3, 8}};
  const auto split =
      LowerBoxing(type, {{0, 1, 2, 3}, Sbp::B()}, {{0, 1, 2, 3}, Sbp::S(0)});
  EXPECT_NE(split.status().message().find("float32[3, 8]"),
            absl::string_view::npos);
  EXPECT_NE(split.status().message().find("S(0)"), absl::string_view::npos);
  EXPECT_FALSE(LowerBoxing(type, {{0, 0}, Sbp::B()}, {{0}, Sbp::B()}).ok());
  EXPECT_FALSE(LowerBoxing(type, {{}, Sbp::B()}, {{0}, Sbp::B()}).ok());
  const Cluster cluster = UniformCluster(4, {}, {});
  EXPECT_EQ(BoxingSeconds(type, Sbp::B(), Sbp::S(0), cluster, 0),
            std::numeric_limits<double>::infinity());
}

// Worked out by hand: the busiest rank need not be the first or the last.
TEST(BoxingTest, BytesOfUnevenSplits) {
  const TensorType type{DataType::kFloat32, {8, 7}};
  auto bytes = [&](Sbp from, Sbp to) {
    return LowerBoxing(type, {{0, 1, 2}, from}, {{0, 1, 2}, to})
        ->bytes_per_device;
  };
  // Rows 3, 3, 2; columns 3, 2, 2. Rank 1 has 3 rows and keeps 2 columns.
  EXPECT_EQ(bytes(Sbp::S(0), Sbp::S(1)), 3 * (7 - 2) * 4);
  // Rank 0 has 3 columns and keeps 3 rows.
  EXPECT_EQ(bytes(Sbp::S(1), Sbp::S(0)), 3 * (8 - 3) * 4);
  // All but the smallest piece.
  EXPECT_EQ(bytes(Sbp::S(0), Sbp::B()), (8 - 2) * 7 * 4);
  EXPECT_EQ(bytes(Sbp::PSum(), Sbp::S(1)), 8 * (7 - 2) * 4);
}

// Local tasks by op, over all devices.
std::map<std::string, int> LocalTasks(const TensorType& type, Sbp from,
                                      Sbp to) {
  std::map<std::string, int> count;
  const auto program = LowerBoxing(type, {{0, 1, 2}, from}, {{0, 1, 2}, to});
  EXPECT_TRUE(program.ok()) << program.status();
  for (const BoxingTask& task : program->tasks) {
    if (!task.op.empty()) ++count[task.op];
  }
  return count;
}

TEST(BoxingTest, NothingIsPackedNeedlessly) {
  using Count = std::map<std::string, int>;
  const TensorType type{DataType::kFloat32, {6, 9}};
  EXPECT_EQ(LocalTasks(type, Sbp::S(0), Sbp::B()), Count{});
  EXPECT_EQ(LocalTasks(type, Sbp::PSum(), Sbp::B()), Count{});
  EXPECT_EQ(LocalTasks(type, Sbp::PSum(), Sbp::S(0)), Count{});
  EXPECT_EQ(LocalTasks(type, Sbp::S(1), Sbp::B()),
            (Count{{"unpack_regions", 3}}));
  EXPECT_EQ(LocalTasks(type, Sbp::PMax(), Sbp::S(1)),
            (Count{{"pack_regions", 3}}));
  EXPECT_EQ(LocalTasks(type, Sbp::B(), Sbp::S(0)),
            (Count{{"pack_regions", 3}}));
  // What goes to each rank lies in a row: rows of all columns.
  EXPECT_EQ(LocalTasks(type, Sbp::S(1), Sbp::S(0)),
            (Count{{"unpack_regions", 3}}));
  // Rank 0 keeps its copy.
  EXPECT_EQ(LocalTasks(type, Sbp::B(), Sbp::PSum()),
            (Count{{"unpack_regions", 2}}));
  for (Sbp sbp : {Sbp::B(), Sbp::S(0), Sbp::PSum(), Sbp::PMax()}) {
    const auto program = LowerBoxing(type, {{0, 1, 2}, sbp}, {{0, 1, 2}, sbp});
    EXPECT_TRUE(program->tasks.empty()) << sbp.ToString();
    EXPECT_EQ(program->outputs, program->inputs) << sbp.ToString();
  }
}

// The cost model has formulas; a program's bytes are counted from its tasks.
TEST(BoxingTest, SecondsAreThoseOfTheLoweredTasks) {
  DeviceSpec device;
  MeshAxis axis;
  int compared = 0;
  for (int k : {1, 2, 3, 4, 5, 8}) {
    const Cluster cluster = UniformCluster(k, device, axis);
    std::vector<int> devices;
    for (int d = 0; d < k; ++d) devices.push_back(d);
    std::vector<Shape> shapes = Shapes();
    shapes.insert(shapes.end(), {{8, 7}, {11, 10}, {24, 48}, {9, 1, 17}});
    for (const Shape& shape : shapes) {
      const TensorType type{DataType::kFloat32, shape};
      for (const Sbp& a : AllSbps(shape, k)) {
        for (const Sbp& b : AllSbps(shape, k)) {
          SCOPED_TRACE(Name(type, {devices, a}, {devices, b}));
          const auto program = LowerBoxing(type, {devices, a}, {devices, b});
          const double seconds = BoxingSeconds(type, a, b, cluster, 0);
          if (!program.ok()) {
            EXPECT_EQ(seconds, std::numeric_limits<double>::infinity());
            continue;
          }
          ++compared;
          std::map<int, int> local_tasks;
          int most_tasks = 0;
          for (const BoxingTask& task : program->tasks) {
            if (task.op.empty()) continue;
            most_tasks = std::max(most_tasks, ++local_tasks[task.device]);
          }
          const int rounds = program->kind == CollectiveKind::kNone ? 0
                             : program->kind == CollectiveKind::kAllReduce
                                 ? 2 * (k - 1)
                                 : k - 1;
          const double expected =
              rounds * axis.latency_seconds +
              program->bytes_per_device / axis.bytes_per_second +
              program->local_bytes_per_device / device.memory_bytes_per_second +
              most_tasks * device.launch_seconds;
          EXPECT_NEAR(seconds, expected, 1e-9 * expected);
        }
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

}  // namespace
}  // namespace facet::placement
