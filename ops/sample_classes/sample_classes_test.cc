#include <atomic>
#include <cmath>
#include <cstdlib>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "ops/random.h"
#include "ops/sample_classes/sampling.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace facet::ops {
namespace {

using ::testing::HasSubstr;

struct Case {
  int64_t classes = 0;
  int64_t groups = 1;
  double rate = 0;
  Values labels;
  int64_t step = 0;
  int64_t seed = 7;
  int64_t capacity = 0;  // 0: as the model has it.

  int64_t largest() const { return (classes + groups - 1) / groups; }
  int64_t room() const {
    if (capacity > 0) return capacity;
    return SampleCapacity(largest(), rate, static_cast<int64_t>(labels.size()));
  }
};

constexpr uint32_t kKey = 11;

struct Sample {
  Values rows, positions;
};

absl::StatusOr<Sample> Draw(const Case& c,
                            const KernelLibrary& kernels = CpuKernels()) {
  HostValue labels = HostValue::Whole(
      {DataType::kInt32, {static_cast<int64_t>(c.labels.size())}});
  labels.FromDoubles(c.labels);
  RunOptions options;
  options.step = c.step;
  options.seed = c.seed;
  absl::StatusOr<std::vector<HostValue>> outputs =
      RunOp(*FindOp("sample_classes"),
            {{"classes", c.classes},
             {"groups", c.groups},
             {"capacity", c.room()},
             {"rate", c.rate},
             {"key", int64_t{kKey}}},
            {labels},
            {HostValue::Whole({DataType::kInt32, {c.groups, c.room()}}).slice(),
             labels.slice()},
            options, kernels);
  if (!outputs.ok()) return outputs.status();
  return Sample{(*outputs)[0].ToDoubles(), (*outputs)[1].ToDoubles()};
}

// The definition, class by class.
bool IsSampled(const Case& c, int64_t number) {
  for (double label : c.labels) {
    if (label == static_cast<double>(number)) return true;
  }
  const uint32_t word = RandomWord(
      {static_cast<uint64_t>(c.seed), kKey, static_cast<uint32_t>(c.step)},
      static_cast<uint64_t>(number));
  return static_cast<double>(word) < std::floor(c.rate * 0x1p32);
}

void ExpectAFunctionOfSeedStepAndClass(const KernelLibrary& kernels) {
  for (Case c : {Case{13, 2, 0.3, {0, 12, 5}}, Case{101, 3, 0.5, {33, 34, 33}},
                 Case{9001, 4, 0.1, {0, 9000, 4095, 4096}},
                 Case{20000, 1, 0.9, {128, 127}}, Case{64, 8, 0.99, {63}},
                 Case{4096, 1, 0.5, {4095}}}) {
    for (int64_t step : {0, 1, 1000}) {
      SCOPED_TRACE(testing::Message()
                   << c.classes << " classes, step " << step);
      c.step = step;
      const absl::StatusOr<Sample> sample = Draw(c, kernels);
      ASSERT_TRUE(sample.ok()) << sample.status();
      Values rows, positions(c.labels.size(), -1);
      for (int64_t g = 0; g < c.groups; ++g) {
        const Range group = ShardRange(c.classes, c.groups, g);
        for (int64_t i = group.begin; i < group.end; ++i) {
          if (!IsSampled(c, i)) continue;
          for (size_t image = 0; image < c.labels.size(); ++image) {
            if (c.labels[image] == i) positions[image] = rows.size();
          }
          rows.push_back(i - group.begin);
        }
        ASSERT_LE(rows.size(), (g + 1) * c.room());
        rows.resize((g + 1) * c.room(), -1);
      }
      EXPECT_EQ(sample->rows, rows);
      EXPECT_EQ(sample->positions, positions);
    }
  }
}

TEST(SampleClassesTest, IsAFunctionOfSeedStepAndClass) {
  ExpectAFunctionOfSeedStepAndClass(CpuKernels());
}

TEST(SampleClassesTest, IsAFunctionOfSeedStepAndClassByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectAFunctionOfSeedStepAndClass(CudaKernelsOnHost());
}

// More pieces than a block has threads.
TEST(SampleClassesTest, CudaSamplesManyClassesAsTheCpuDoes) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  const Case c{2'500'001, 1, 0.002, {2'500'000, 2'097'151, 2'097'152, 0}};
  const absl::StatusOr<Sample> cpu = Draw(c);
  const absl::StatusOr<Sample> cuda = Draw(c, CudaKernelsOnHost());
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  ASSERT_TRUE(cuda.ok()) << cuda.status();
  EXPECT_EQ(cpu->rows, cuda->rows);
  EXPECT_EQ(cpu->positions, cuda->positions);
}

std::set<int64_t> SampledClasses(const Case& c) {
  const absl::StatusOr<Sample> sample = Draw(c);
  EXPECT_TRUE(sample.ok()) << sample.status();
  std::set<int64_t> classes;
  for (size_t i = 0; i < sample->rows.size(); ++i) {
    if (sample->rows[i] < 0) continue;
    const int64_t group = static_cast<int64_t>(i) / c.room();
    classes.insert(ShardRange(c.classes, c.groups, group).begin +
                   static_cast<int64_t>(sample->rows[i]));
  }
  return classes;
}

TEST(SampleClassesTest, AnyNumberOfGroupsSamplesTheSame) {
  Case c{10007, 1, 0.2, {17, 9999}};
  const std::set<int64_t> one = SampledClasses(c);
  for (int64_t groups : {2, 3, 8}) {
    c.groups = groups;
    EXPECT_EQ(SampledClasses(c), one) << groups;
  }
  c.step = 1;
  EXPECT_NE(SampledClasses(c), one);
  c.step = 0;
  c.seed = 8;
  EXPECT_NE(SampledClasses(c), one);
}

// Over many steps, every class comes as often as it should: 5 standard
// deviations are exceeded by chance in 1 of 1,700,000 classes.
TEST(SampleClassesTest, EveryClassIsSampledAtTheRate) {
  Case c{200, 2, 0.3, {7}};
  const int steps = 4000;
  std::vector<int> count(c.classes, 0);
  for (c.step = 0; c.step < steps; ++c.step) {
    for (int64_t i : SampledClasses(c)) ++count[i];
  }
  const double deviation = std::sqrt(steps * c.rate * (1 - c.rate));
  for (int64_t i = 0; i < c.classes; ++i) {
    if (i == 7) {
      EXPECT_EQ(count[i], steps);
    } else {
      EXPECT_NEAR(count[i], steps * c.rate, 5 * deviation) << "class " << i;
    }
  }
}

void ExpectThePositivesAlone(const KernelLibrary& kernels) {
  const Case c{100, 4, 0, {3, 60, 3}};  // Groups 1 and 3 have none.
  const absl::StatusOr<Sample> sample = Draw(c, kernels);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->rows,
            (Values{3, -1, -1, -1, -1, -1, 10, -1, -1, -1, -1, -1}));
  EXPECT_EQ(sample->positions, (Values{0, 6, 0}));
}

TEST(SampleClassesTest, RateZeroIsThePositivesAlone) {
  ExpectThePositivesAlone(CpuKernels());
}

TEST(SampleClassesTest, RateZeroIsThePositivesAloneByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  ExpectThePositivesAlone(CudaKernelsOnHost());
}

TEST(SampleClassesTest, MoreThanThereIsRoomForIsAnError) {
  Case c{100, 1, 0.5, {3}};
  c.capacity = 20;
  const absl::Status status = Draw(c).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("there is room for 20"));
}

TEST(SampleClassesTest, LabelsAreChecked) {
  EXPECT_THAT(std::string(Draw({100, 2, 0.5, {3, 100}}).status().message()),
              HasSubstr("label 100 of row 1"));
}

// A negative position makes the loss NaN, and stays so when the positions of
// other groups' classes are added.
TEST(SampleClassesTest, WhatTheCpuRefusesHasNoPositionByCuda) {
  if (!CudaUnavailable().empty()) GTEST_SKIP() << CudaUnavailable();
  Case c{100, 2, 0, {3, 100, -1, 60}};
  const absl::StatusOr<Sample> labels = Draw(c, CudaKernelsOnHost());
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ(labels->positions, (Values{0, -1, -1, 4}));
  for (int64_t groups : {1, 2}) {
    c = {100, groups, 0.5, {3, 99}};
    c.capacity = 10;  // Some 50 are sampled.
    const absl::StatusOr<Sample> sample = Draw(c, CudaKernelsOnHost());
    ASSERT_TRUE(sample.ok()) << sample.status();
    for (double position : sample->positions) EXPECT_LT(position, 0);
    // The list is as full as it can be.
    for (double row : sample->rows) EXPECT_GE(row, 0);
  }
}

// All classes are looked at, but nothing is allocated for them: a bit each is
// in the planned workspace.
TEST(SampleClassesTest, AStepAllocatesNothing) {
  constexpr int64_t kClasses = 1'000'003, kRoom = 110'000;
  const KernelDef& def = *CpuKernels().find("sample_classes");
  HostValue labels = HostValue::Whole({DataType::kInt32, {4}});
  labels.FromDoubles({1, 2, 3, 1'000'002});
  const HostValue rows = HostValue::Whole({DataType::kInt32, {1, kRoom}});
  const HostValue positions = HostValue::Whole({DataType::kInt32, {4}});
  KernelSpec spec;
  spec.attributes = {{"classes", kClasses},
                     {"groups", int64_t{1}},
                     {"capacity", kRoom},
                     {"rate", 0.1},
                     {"key", int64_t{kKey}}};
  spec.inputs = {labels.slice()};
  spec.outputs = {rows.slice(), positions.slice()};
  const absl::StatusOr<int64_t> bytes = def.workspace_bytes(spec);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_LT(*bytes, kClasses / 8 + kClasses / 100);
  const HostValue workspace =
      HostValue::Whole({DataType::kInt32, {*bytes / 4 + 16}});
  const absl::StatusOr<Kernel> kernel = def.create(spec);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const TensorView inputs[] = {labels.view()};
  const TensorView outputs[] = {rows.view(), positions.view()};
  KernelContext context;
  context.inputs = inputs;
  context.outputs = outputs;
  context.workspace = workspace.view().data;
  ASSERT_TRUE((*kernel)(context).ok());
  allocations = 0;
  for (context.step = 1; context.step < 4; ++context.step) {
    ASSERT_TRUE((*kernel)(context).ok());
  }
  EXPECT_EQ(allocations, 0);
  delete new std::vector<int>(10);  // The counter counts.
  EXPECT_GE(allocations, 2);
}

// The room is enough with certainty for positives, and for negatives but for
// one step in 10^13: by the exact tail of the binomial distribution.
TEST(SamplingTest, CapacityIsRarelyExceeded) {
  for (int64_t classes : {10, 1000, 250000}) {
    for (double rate : {1e-5, 0.01, 0.1, 0.5, 0.95}) {
      const int64_t batch = 8;
      const int64_t capacity = SampleCapacity(classes, rate, batch);
      ASSERT_LE(capacity, classes);
      if (capacity == classes) continue;
      double tail = 0;
      for (int64_t k = capacity - batch + 1; k <= classes; ++k) {
        const double log_term =
            std::lgamma(classes + 1.0) - std::lgamma(k + 1.0) -
            std::lgamma(classes - k + 1.0) + k * std::log(rate) +
            (classes - k) * std::log1p(-rate);
        tail += std::exp(log_term);
      }
      EXPECT_LT(tail, 1e-13) << classes << " classes, rate " << rate;
      const double mean = rate * static_cast<double>(classes);
      EXPECT_LT(capacity, mean + 8.5 * std::sqrt(mean) + 30 + batch);
    }
  }
  EXPECT_EQ(SampleCapacity(100, 0, 16), 16);
  EXPECT_EQ(SampleCapacity(10, 0, 16), 10);
}

}  // namespace
}  // namespace facet::ops
