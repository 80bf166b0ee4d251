// Every transition between SBPs on meshes of two axes, step by step, executed
// with the real kernels and communicators, against the value itself.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/graph/nd_sbp.h"
#include "ops/testing/mesh_shares.h"
#include "placement/boxing/boxing_routes.h"
#include "placement/cluster.h"
#include "tests/boxing/run_boxing.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::HostValue;
using ops::Mesh;
using ops::NdSbp;
using ops::Sbp;
using ops::Shape;
using ops::TensorType;

// Fast links inside, a slow network between.
Cluster MeshOfTwo(int outer, int inner) {
  Cluster cluster = UniformCluster(outer * inner, {}, {});
  cluster = Arranged(std::move(cluster), {{"node", outer}, {"device", inner}});
  cluster.mesh[0].bytes_per_second = 1e9;
  cluster.mesh[1].bytes_per_second = 100e9;
  return cluster;
}

std::vector<NdSbp> AllSbps(const Shape& shape, const Mesh& mesh) {
  std::vector<Sbp> along_axis = {Sbp::B(), Sbp::PSum(), Sbp::PMax()};
  for (int i = 0; i < shape.rank(); ++i) along_axis.push_back(Sbp::S(i));
  std::vector<NdSbp> all;
  for (Sbp outer : along_axis) {
    for (Sbp inner : along_axis) {
      const NdSbp sbp{outer, inner};
      if (ops::IsShardable(shape, sbp, mesh)) all.push_back(sbp);
    }
  }
  return all;
}

bool HasSum(const NdSbp& sbp) {
  return std::count(sbp.begin(), sbp.end(), Sbp::PSum()) > 0;
}

bool ChangesKindOfPartial(const NdSbp& from, const NdSbp& to) {
  for (int a = 0; a < from.num_axes(); ++a) {
    if (from[a].is_partial() && to[a].is_partial() && from[a] != to[a]) {
      return true;
    }
  }
  return false;
}

struct Case {
  const char* kind;  // Of the devices.
  Mesh mesh;
};

class MeshBoxingTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().kind) == "cpu") {
      machine_ = CpuMachine();
      return;
    }
    auto machine = CudaMachine(GetParam().mesh.num_devices());
    if (!machine.ok()) GTEST_SKIP() << machine.status().message();
    machine_ = *std::move(machine);
  }

  void CheckRoute(const TensorType& type, const NdSbp& from, const NdSbp& to,
                  const Mesh& mesh, BoxingRoutes* routes);
  int CheckAll(const TensorType& type, int outer, int inner);

  std::unique_ptr<BoxingMachine> machine_;
};

void MeshBoxingTest::CheckRoute(const TensorType& type, const NdSbp& from,
                                const NdSbp& to, const Mesh& mesh,
                                BoxingRoutes* routes) {
  const HostValue whole = IntegersOf(type);
  std::map<int, HostValue> shares;
  for (int d = 0; d < mesh.num_devices(); ++d) {
    shares[d] = ops::TakeMeshShare(whole, from, mesh, d);
  }
  NdSbp at = from;
  for (const NdSbp& next : routes->Route(from, to)) {
    SCOPED_TRACE(absl::StrCat("step ", at.ToString(), " -> ", next.ToString()));
    const auto programs = LowerBoxingStep(type, at, next, mesh);
    ASSERT_TRUE(programs.ok()) << programs.status();
    const auto results = RunBoxing(*programs, type, shares, *machine_);
    ASSERT_TRUE(results.ok()) << results.status();
    ASSERT_EQ(results->size(), shares.size());
    for (int d = 0; d < mesh.num_devices(); ++d) {
      const ops::Region region = ops::LocalRegion(type.shape, next, mesh, d);
      EXPECT_EQ(results->at(d).slice().shape, region.shape);
      EXPECT_EQ(results->at(d).slice().offset, region.offset);
    }
    shares = *results;
    at = next;
  }
  ASSERT_EQ(at, to);
  std::vector<HostValue> by_device;
  for (int d = 0; d < mesh.num_devices(); ++d) by_device.push_back(shares[d]);
  const auto joined = ops::JoinMeshShares(by_device, to, mesh);
  ASSERT_TRUE(joined.ok()) << joined.status();
  ExpectSameValue(*joined, whole, HasSum(from) || HasSum(to));
}

// All pairs; returns how many.
int MeshBoxingTest::CheckAll(const TensorType& type, int outer, int inner) {
  const Cluster cluster = MeshOfTwo(outer, inner);
  const Mesh mesh = MeshOf(cluster);
  BoxingRoutes routes(type, cluster, /*compute_waits=*/false);
  int checked = 0;
  for (const NdSbp& from : AllSbps(type.shape, mesh)) {
    for (const NdSbp& to : AllSbps(type.shape, mesh)) {
      SCOPED_TRACE(absl::StrCat(type.ToString(), " ", from.ToString(), " -> ",
                                to.ToString(), " on ", mesh.ToString()));
      const double seconds = routes.Seconds(from, to);
      if (ChangesKindOfPartial(from, to)) {
        EXPECT_EQ(seconds, std::numeric_limits<double>::infinity());
        continue;
      }
      EXPECT_TRUE(std::isfinite(seconds));
      CheckRoute(type, from, to, mesh, &routes);
      ++checked;
    }
  }
  return checked;
}

TEST_P(MeshBoxingTest, EveryTransition) {
  const int outer = GetParam().mesh.sizes[0];
  const int inner = GetParam().mesh.sizes[1];
  // Along each axis 5 x 5 pairs but two: P(sum) and P(max).
  for (const Shape& shape : {Shape{12, 12}, Shape{7, 11}}) {
    EXPECT_EQ(CheckAll({DataType::kFloat32, shape}, outer, inner), 23 * 23);
  }
  // Rows that can be split once but not twice; nothing to split; rank 3.
  EXPECT_GT(CheckAll({DataType::kFloat32, {3, 13}}, outer, inner), 100);
  EXPECT_EQ(CheckAll({DataType::kFloat32, {}}, outer, inner), 7 * 7);
}

TEST_P(MeshBoxingTest, OtherTypesAndRanks) {
  const int outer = GetParam().mesh.sizes[0];
  const int inner = GetParam().mesh.sizes[1];
  EXPECT_GT(CheckAll({DataType::kInt32, {7, 9}}, outer, inner), 400);
  EXPECT_GT(CheckAll({DataType::kFloat32, {1, 7, 9}}, outer, inner), 400);
}

INSTANTIATE_TEST_SUITE_P(
    Meshes, MeshBoxingTest,
    testing::Values(Case{"cpu", {{2, 2}}}, Case{"cpu", {{2, 3}}},
                    Case{"cpu", {{3, 2}}}, Case{"cuda", {{2, 2}}}),
    [](const testing::TestParamInfo<Case>& info) {
      return absl::StrCat(info.param.kind, "On", info.param.mesh.ToString());
    });

// The oracle of the search for routes: all sequences of up to four steps.
TEST(BoxingRoutesTest, NoOtherRouteIsCheaper) {
  const TensorType type{DataType::kFloat32, {64, 48}};
  const Cluster cluster = MeshOfTwo(2, 4);
  const Mesh mesh = MeshOf(cluster);
  BoxingRoutes routes(type, cluster, /*compute_waits=*/true);
  const std::vector<NdSbp> states = AllSbps(type.shape, mesh);
  for (const NdSbp& from : states) {
    // Least seconds to each state in at most so many steps. A step's own cost
    // is that of the route of one step.
    std::map<NdSbp, double> least = {{from, 0}};
    for (int steps = 0; steps < 4; ++steps) {
      std::map<NdSbp, double> next = least;
      for (const auto& [at, seconds] : least) {
        for (const NdSbp& to : states) {
          if (!IsBoxingStep(type.shape, at, to, mesh)) continue;
          const double sum = seconds + routes.Seconds(at, to);
          auto [it, is_new] = next.emplace(to, sum);
          if (!is_new) it->second = std::min(it->second, sum);
        }
      }
      least = std::move(next);
    }
    for (const NdSbp& to : states) {
      if (ChangesKindOfPartial(from, to)) continue;
      SCOPED_TRACE(absl::StrCat(from.ToString(), " -> ", to.ToString()));
      const double found = routes.Seconds(from, to);
      if (IsBoxingStep(type.shape, from, to, mesh)) {
        EXPECT_EQ(routes.Route(from, to).size(), 1u);
      } else {
        EXPECT_NEAR(found, least.at(to), 1e-6 * found);
      }
      double sum = 0;
      NdSbp at = from;
      for (const NdSbp& step : routes.Route(from, to)) {
        ASSERT_TRUE(IsBoxingStep(type.shape, at, step, mesh));
        sum += routes.Seconds(at, step);
        at = step;
      }
      EXPECT_NEAR(sum, found, 1e-9 * found);
    }
  }
}

std::vector<std::string> Texts(const std::vector<NdSbp>& route) {
  std::vector<std::string> texts;
  for (const NdSbp& sbp : route) texts.push_back(sbp.ToString());
  return texts;
}

// A large sum over all devices: over the slow network go shares alone.
TEST(BoxingRoutesTest, LargeSumsAreReducedHierarchically) {
  const Cluster cluster = MeshOfTwo(4, 8);
  BoxingRoutes large({DataType::kFloat32, {4096, 1024}}, cluster, false);
  EXPECT_EQ(
      Texts(large.Route({Sbp::PSum(), Sbp::PSum()}, {Sbp::B(), Sbp::B()})),
      (std::vector<std::string>{"P(sum),S(0)", "B,S(0)", "B,B"}));
  // For a few bytes latency counts: two steps.
  BoxingRoutes small({DataType::kFloat32, {}}, cluster, false);
  EXPECT_EQ(
      small.Route({Sbp::PSum(), Sbp::PSum()}, {Sbp::B(), Sbp::B()}).size(), 2u);
}

// An outer axis cannot be gathered while an inner one splits its shares.
TEST(BoxingRoutesTest, StepsThatWouldTearBoxesAreRefused) {
  const Mesh mesh{{2, 2}};
  const Shape shape{8, 8};
  EXPECT_FALSE(
      IsBoxingStep(shape, {Sbp::S(0), Sbp::S(0)}, {Sbp::B(), Sbp::S(0)}, mesh));
  EXPECT_TRUE(
      IsBoxingStep(shape, {Sbp::S(0), Sbp::S(1)}, {Sbp::B(), Sbp::S(1)}, mesh));
  EXPECT_FALSE(IsBoxingStep(shape, {Sbp::PSum(), Sbp::PMax()},
                            {Sbp::B(), Sbp::PMax()}, mesh));
  const auto refused =
      LowerBoxingStep({DataType::kFloat32, shape}, {Sbp::S(0), Sbp::S(0)},
                      {Sbp::B(), Sbp::S(0)}, mesh);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("S(0),S(0)"),
            absl::string_view::npos);
}

// However long it takes to begin: an all-reduce of gradients shares that with
// others, but what is split is gathered, not padded and reduced.
TEST(BoxingRoutesTest, NothingIsPaddedToBeReduced) {
  Cluster cluster = MeshOfTwo(2, 4);
  for (MeshAxis& axis : cluster.mesh) axis.latency_seconds = 1e-3;
  const TensorType type{DataType::kFloat32, {64, 48}};
  const std::vector<NdSbp> all = AllSbps(type.shape, MeshOf(cluster));
  for (bool compute_waits : {false, true}) {
    BoxingRoutes routes(type, cluster, compute_waits);
    for (const NdSbp& from : all) {
      for (const NdSbp& to : all) {
        if (to.any_partial() || from == to) continue;
        NdSbp at = from;
        for (const NdSbp& next : routes.Route(from, to)) {
          for (int a = 0; a < next.num_axes(); ++a) {
            const bool reduces = at[a].is_partial() && next[a].is_broadcast();
            EXPECT_TRUE(!reduces || from[a].is_partial())
                << from.ToString() << " -> " << to.ToString() << " by "
                << at.ToString() << " -> " << next.ToString();
          }
          at = next;
        }
      }
    }
  }
}

}  // namespace
}  // namespace facet::placement
