// The batch_norm ops against plain loops in float64.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/batch_norm/reference.h"
#include "ops/cpu_kernels.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "ops/testing/interpreter.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

using namespace batch_norm_reference;  // NOLINT

OpCase BatchNormCase(const Case& c, InputDomain x_domain = {-1, 3}) {
  const TensorType per_group = Float32({c.groups, c.shape[1]});
  const TensorType per_channel = Float32({c.shape[1]});
  OpCase result = {
      "batch_norm",
      Groups(c),
      {Float32(c.shape), per_group, per_group, per_channel, per_channel},
      {x_domain, {}, {}, {0.5, 2}, {}}};
  result.derive_inputs = DeriveStatistics(c, 0, 1);
  return result;
}

TEST(BatchNorm, StatisticsMatchReference) {
  for (const Case& c : Cases()) {
    ExpectMatchesReference(
        {"batch_norm_statistics", Groups(c), {Float32(c.shape)}, {{-1, 3}}},
        StatisticsReference);
  }
}

TEST(BatchNorm, MatchesReference) {
  for (const Case& c : Cases()) {
    ExpectMatchesReference(BatchNormCase(c), BatchNormReference);
  }
}

TEST(BatchNorm, GradientsMatchReference) {
  for (const Case& c : Cases()) {
    const TensorType x = Float32(c.shape);
    const TensorType per_group = Float32({c.groups, c.shape[1]});
    OpCase statistics = {"batch_norm_grad_statistics",
                         Groups(c),
                         {x, x, per_group, per_group},
                         {{}, {-1, 3}}};
    statistics.derive_inputs = DeriveStatistics(c, 1, 2);
    statistics.tolerance = 3e-5;
    ExpectMatchesReference(statistics, GradStatisticsReference);

    OpCase input = {"batch_norm_grad_input",
                    Groups(c),
                    {x, x, per_group, per_group, Float32({c.shape[1]}),
                     per_group, per_group},
                    {{}, {-1, 3}, {}, {}, {0.5, 2}}};
    input.derive_inputs = DeriveStatistics(c, 1, 2);
    ExpectMatchesReference(input, GradInputReference);
  }
}

// With the paths through the statistics, for any number of groups.
TEST(BatchNorm, GradientRuleIsTheDerivative) {
  for (const Case& c : {Case{{4, 3, 2, 3}, 1}, Case{{5, 2, 2, 2}, 2},
                        Case{{6, 3}, 1}, Case{{7, 3}, 3}}) {
    ExpectGradientMatches(BatchNormCase(c), BatchNormReference, {0, 3, 4});
  }
}

// Sums in plain float32 would be off by 1e-5 or more here.
TEST(BatchNorm, StatisticsOfManyLargeValuesAreExact) {
  OpCase large = {
      "batch_norm_statistics", {}, {Float32({4, 8, 112, 112})}, {{99, 101}}};
  large.tolerance = 2e-7;
  ExpectMatchesReference(large, StatisticsReference);
}

TEST(BatchNorm, UpdateMatchesReference) {
  for (int64_t groups : {1, 3}) {
    const int64_t rows = 7, spatial = 6, channels = 5;
    const Case c{{rows, channels, 2, 3}, groups};
    const TensorType per_group = Float32({groups, channels});
    ExpectMatchesReference(
        {"batch_norm_update",
         {{"groups", groups},
          {"momentum", 0.3},
          {"rows", rows},
          {"spatial", spatial}},
         std::vector<TensorType>(4, per_group),
         {{-1, 1}, {0.5, 2}, {-3, 3}, {20, 40}}},
        [&](const Attributes&, const std::vector<TensorType>&,
            const std::vector<Values>& in) {
          Values mean(in[0].size()), variance(in[0].size());
          ForEachElement(
              c.shape, groups, [&](int64_t, int64_t s, int64_t, double n) {
                const double m = in[2][s] / n;
                const double unbiased = (in[3][s] / n - m * m) * n / (n - 1);
                mean[s] = 0.7 * in[0][s] + 0.3 * m;
                variance[s] = 0.7 * in[1][s] + 0.3 * unbiased;
              });
          return std::vector<Values>{mean, variance};
        });
  }
}

TEST(BatchNorm, InferenceMatchesReference) {
  for (const Case& c : Cases()) {
    const TensorType running = Float32({1, c.shape[1]});
    const TensorType per_channel = Float32({c.shape[1]});
    ExpectMatchesReference(
        {"batch_norm_inference",
         {{"eps", 1e-3}},
         {Float32(c.shape), running, running, per_channel, per_channel},
         {{-1, 3}, {-1, 1}, {0.1, 2}, {0.5, 2}, {}}},
        [](const Attributes& attributes, const std::vector<TensorType>& types,
           const std::vector<Values>& in) {
          Values y(in[0].size());
          ForEachElement(
              types[0].shape, 1, [&](int64_t i, int64_t, int64_t ch, double) {
                y[i] = (in[0][i] - in[1][ch]) /
                           std::sqrt(in[2][ch] + attributes.Float("eps")) *
                           in[3][ch] +
                       in[4][ch];
              });
          return std::vector<Values>{y};
        });
  }
}

HostValue Random(const TensorType& type, Layout layout, int64_t seed) {
  TensorSlice slice = HostValue::Whole(type).slice();
  slice.layout = layout;
  HostValue value(slice);
  value.FromDoubles(RandomValues(type, InputDomain(), seed));
  return value;
}

std::vector<HostValue> MustRun(const std::string& op,
                               const Attributes& attributes,
                               const std::vector<HostValue>& inputs,
                               const std::vector<TensorSlice>& outputs,
                               const RunOptions& options = {}) {
  absl::StatusOr<std::vector<HostValue>> result =
      RunOp(*FindOp(op), attributes, inputs, outputs, options, CpuKernels());
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

// Statistics, y, gradient statistics and dx of fixed random x and dy.
std::vector<Values> RunAll(const Case& c, Layout layout,
                           const RunOptions& options = {}) {
  const HostValue x = Random(Float32(c.shape), layout, 0);
  const HostValue dy = Random(Float32(c.shape), layout, 1);
  const TensorType per_channel = Float32({c.shape[1]});
  const HostValue scale = Random(per_channel, Layout::kRowMajor, 2);
  const HostValue bias = Random(per_channel, Layout::kRowMajor, 3);
  const TensorSlice sums =
      HostValue::Whole(Float32({c.groups, c.shape[1]})).slice();
  const Attributes groups = Groups(c);
  const std::vector<HostValue> s =
      MustRun("batch_norm_statistics", groups, {x}, {sums, sums});
  const HostValue y =
      MustRun("batch_norm", groups, {x.Copy(), s[0], s[1], scale, bias},
              {x.slice()}, options)[0];
  const std::vector<HostValue> d = MustRun("batch_norm_grad_statistics", groups,
                                           {dy, x, s[0], s[1]}, {sums, sums});
  const HostValue dx = MustRun("batch_norm_grad_input", groups,
                               {dy.Copy(), x, s[0], s[1], scale, d[0], d[1]},
                               {x.slice()}, options)[0];
  return {s[0].ToDoubles(), s[1].ToDoubles(), y.ToDoubles(),
          d[0].ToDoubles(), d[1].ToDoubles(), dx.ToDoubles()};
}

TEST(BatchNorm, ChannelsLastEqualsRowMajor) {
  for (const Case& c : {Case{{5, 20, 9, 5}, 2}, Case{{2, 3, 8, 8}, 1}}) {
    const std::vector<Values> want = RunAll(c, Layout::kRowMajor);
    const std::vector<Values> got = RunAll(c, Layout::kChannelsLast);
    for (size_t v = 0; v < want.size(); ++v) {
      for (size_t i = 0; i < want[v].size(); ++i) {
        ASSERT_NEAR(got[v][i], want[v][i], 1e-4) << "value " << v;
      }
    }
  }
}

TEST(BatchNorm, WorksInPlace) {
  for (Layout layout : {Layout::kRowMajor, Layout::kBlocked8}) {
    const Case c{{5, 16, 9, 5}, 2};
    RunOptions options;
    options.in_place = {{0, 0}};  // y over x, dx over dy
    EXPECT_EQ(RunAll(c, layout, options), RunAll(c, layout));
  }
}

TEST(BatchNorm, ResultDoesNotDependOnTheTeam) {
  const int team = omp_get_max_threads();
  for (Layout layout : {Layout::kRowMajor, Layout::kChannelsLast,
                        Layout::kBlocked8, Layout::kBlocked16}) {
    const Case c{{7, 32, 28, 27}, 2};
    omp_set_num_threads(1);
    const std::vector<Values> want = RunAll(c, layout);
    for (int threads : {2, 3, 5}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(RunAll(c, layout), want);
    }
  }
  omp_set_num_threads(team);
}

// Devices 0 ... 2 of 3, with the batch split: one group each, and one for all.
TEST(BatchNorm, SharesOfTheBatchAddUp) {
  const Shape shape = {7, 8, 3, 5};
  for (int64_t groups : {3, 1}) {
    const HostValue x = Random(Float32(shape), Layout::kRowMajor, 0);
    const std::vector<Values> want = Statistics(shape, groups, x.ToDoubles());
    const HostValue sums = HostValue::Whole(Float32({groups, shape[1]}));
    const Sbp sbp = groups == 1 ? Sbp::PSum() : Sbp::S(0);
    std::vector<HostValue> shares;
    for (int rank = 0; rank < 3; ++rank) {
      const Region region = LocalRegion({groups, shape[1]}, sbp, 3, rank);
      TensorSlice slice = sums.slice();
      slice.shape = region.shape;
      slice.offset = region.offset;
      shares.push_back(MustRun("batch_norm_statistics", {{"groups", groups}},
                               {TakeShare(x, Sbp::S(0), 3, rank)},
                               {slice, slice})[1]);
    }
    absl::StatusOr<HostValue> joined = JoinShares(shares, sbp);
    ASSERT_TRUE(joined.ok()) << joined.status();
    const Values got = joined->ToDoubles();
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], want[1][i], 1e-4);
    }
  }
}

TEST(BatchNorm, SplitsByBatchOnlyAlongGroups) {
  const OpDef& def = *FindOp("batch_norm_statistics");
  const std::vector<TensorType> inputs = {Float32({8, 6, 2, 2})};
  auto has = [&](int64_t groups, int devices, const Signature& signature) {
    const Attributes attributes = {{"groups", groups}};
    const std::vector<TensorType> outputs(2, Float32({groups, 6}));
    const std::vector<Signature> all =
        LegalSignatures(def, {attributes, inputs, outputs}, devices);
    return std::find(all.begin(), all.end(), signature) != all.end();
  };
  const Signature partial = {{Sbp::S(0)}, {Sbp::PSum(), Sbp::PSum()}};
  const Signature own = {{Sbp::S(0)}, {Sbp::S(0), Sbp::S(0)}};
  EXPECT_TRUE(has(1, 4, partial));
  EXPECT_FALSE(has(1, 4, own));
  EXPECT_TRUE(has(4, 4, own));
  EXPECT_FALSE(has(4, 4, partial));
  // Two whole groups each; but not three groups of 8 rows on two devices, nor
  // four on three.
  EXPECT_TRUE(has(4, 2, own));
  EXPECT_FALSE(has(3, 2, own));
  EXPECT_FALSE(has(4, 3, own));
  EXPECT_TRUE(has(4, 2, Uniform(1, 2, Sbp::S(1))));
}

std::string InferError(const std::string& op, Attributes attributes,
                       const std::vector<TensorType>& inputs) {
  for (const AttributeSpec& spec : FindOp(op)->attributes) {
    if (!attributes.Has(spec.name)) attributes.Set(spec.name, spec.initial);
  }
  std::vector<TensorType> outputs;
  return std::string(
      FindOp(op)->infer({attributes, inputs, {}}, &outputs).message());
}

TEST(BatchNorm, RefusesWhatDoesNotFit) {
  const TensorType x = Float32({4, 3, 2, 2});
  EXPECT_EQ(InferError("batch_norm_statistics", {{"groups", int64_t{5}}}, {x}),
            "groups is 5; expected from 1 to the batch size, 4");
  EXPECT_EQ(InferError("batch_norm", {{"groups", int64_t{2}}},
                       {x, Float32({1, 3}), Float32({2, 3}), Float32({3}),
                        Float32({3})}),
            "sum is float32[1, 3]; expected float32[2, 3]");
  EXPECT_EQ(InferError("batch_norm", {{"eps", 0.0}},
                       {x, Float32({1, 3}), Float32({1, 3}), Float32({3}),
                        Float32({3})}),
            "eps is 0; expected more than 0");
  EXPECT_EQ(InferError("batch_norm_update",
                       {{"groups", int64_t{4}}, {"rows", int64_t{4}}},
                       std::vector<TensorType>(4, Float32({4, 3}))),
            "a batch of 4 in 4 groups gives a group with 1 value per channel, "
            "which has no variance: use a batch of at least 8");
}

}  // namespace
}  // namespace facet::ops
