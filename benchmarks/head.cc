// The kernels of the face head's class layer on one core, of one device's share
// of the classes, with D = 512: rows of x by classes. Beside their rates stands
// the floor: the time of the slower of arithmetic and memory at the rates
// that the core reaches in the first two benchmarks.
//
//   bazel run //benchmarks:head -- --benchmark_filter=sgd

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "benchmarks/kernel_run.h"
#include "glog/logging.h"
#include "ops/half.h"
#include "ops/panel_product.h"

namespace facet::benchmarks {
namespace {

constexpr int64_t kColumns = 512;

double BestSeconds(int repeats, const std::function<void()>& body) {
  double best = 1e300;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return best;
}

// FLOP per second of products whose operands stay in the first cache.
double ProductRate() {
  constexpr int64_t kRows = 48, kDepth = 64, kPanels = 2, kCalls = 2000;
  const FloatMemory a = AllocateFloats(kRows * kDepth * 4);
  const FloatMemory b = AllocateFloats(kDepth * kPanels * ops::kPanel * 4);
  const FloatMemory c = AllocateFloats(kRows * kPanels * ops::kPanel * 4);
  ops::PanelProductCall call;
  call.rows = kRows;
  call.depth = kDepth;
  call.panels = kPanels;
  call.a = a.get();
  call.a_row = kDepth;
  call.a_depth = 1;
  call.b = b.get();
  call.b_panel = kDepth * ops::kPanel;
  call.c = c.get();
  call.c_row = kPanels * ops::kPanel;
  const double seconds = BestSeconds(10, [&] {
    for (int64_t i = 0; i < kCalls; ++i) ops::PanelProduct(call);
  });
  return 2.0 * kRows * kDepth * kPanels * ops::kPanel * kCalls / seconds;
}

// Bytes per second of reading memory that no cache holds.
double ReadRate() {
  constexpr int64_t kBytes = int64_t{256} << 20;
  const FloatMemory memory = AllocateFloats(kBytes);
  const double seconds = BestSeconds(5, [&] {
    float sums[64] = {};
    for (int64_t i = 0; i < kBytes / 4; i += 64) {
      for (int64_t l = 0; l < 64; ++l) sums[l] += memory.get()[i + l];
    }
    benchmark::DoNotOptimize(sums);
  });
  return kBytes / seconds;
}

struct Rates {
  double product = ProductRate();
  double read = ReadRate();
};

const Rates& CoreRates() {
  static const Rates* const rates = new Rates();
  return *rates;
}

struct Case {
  std::string op;
  int64_t rows, classes;
  ops::DataType stored;  // Of w and its momentum.
};

// Those that make the cosines of a group of classes again.
bool MakesCosines(const Case& c) {
  return c.op.rfind("cosine_softmax", 0) == 0;
}

ops::KernelSpec SpecOf(const Case& c) {
  const ops::TensorSlice x = WholeFloat32({c.rows, kColumns});
  ops::TensorSlice w = WholeFloat32({c.classes, kColumns});
  w.dtype = c.stored;
  const ops::TensorSlice y = WholeFloat32({c.rows, c.classes});
  const ops::TensorSlice scalar = WholeFloat32({});
  const ops::TensorSlice per_row = WholeFloat32({c.rows});
  ops::TensorSlice labels = per_row;
  labels.dtype = ops::DataType::kInt32;
  ops::KernelSpec spec;
  spec.attributes = {{"eps", 1e-12}};
  if (MakesCosines(c)) {
    spec.attributes = {{"eps", 1e-12},
                       {"m1", 1.0},
                       {"m2", 0.5},
                       {"m3", 0.0},
                       {"scale", 64.0},
                       {"gradient", std::string("exact")},
                       {"may_round", false},
                       {"momentum", 0.9},
                       {"weight_decay", 5e-4},
                       {"accumulate", int64_t{1}},
                       {"key", int64_t{0}}};
  }
  if (c.op == "cosine_softmax_sum") {
    spec.inputs = {x, w, labels};
    spec.outputs = {per_row, scalar};
  } else if (c.op == "cosine_softmax_grad_input") {
    spec.inputs = {x, w, labels, per_row, scalar};
    spec.outputs = {x};
  } else if (c.op == "cosine_softmax_sgd") {
    spec.inputs = {w, w, x, labels, per_row, scalar, scalar};
  } else if (c.op == "cosine_linear") {
    spec.inputs = {x, w};
    spec.outputs = {y};
  } else if (c.op == "cosine_linear_grad_input") {
    spec.inputs = {y, w};
    spec.outputs = {x};
  } else {
    spec.attributes = {{"eps", 1e-12},
                       {"momentum", 0.9},
                       {"weight_decay", 5e-4},
                       {"accumulate", int64_t{1}},
                       {"key", int64_t{0}}};
    spec.inputs = {w, w, x, y, scalar};
  }
  return spec;
}

void Head(benchmark::State& state, const Case& c) {
  omp_set_num_threads(1);
  const ops::KernelSpec spec = SpecOf(c);
  auto run = KernelRun::Create(c.op, spec);
  CHECK(run.ok()) << run.status();
  // The learning rate: weights that grow or vanish would be slow.
  if (spec.outputs.empty()) {
    *run->input(static_cast<int>(spec.inputs.size()) - 1) = 1e-6f;
  }
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].dtype == ops::DataType::kInt32) {
      std::fill_n(run->input(static_cast<int>(i)), c.rows, 0.0f);  // Labels.
      // The sums of their exponentials come after them.
      if (i + 1 < spec.inputs.size()) {
        std::fill_n(run->input(static_cast<int>(i) + 1), c.rows, 1e9f);
      }
    }
    if (spec.inputs[i].dtype != ops::DataType::kBFloat16) continue;
    auto* values =
        reinterpret_cast<ops::BFloat16*>(run->input(static_cast<int>(i)));
    for (int64_t e = 0; e < spec.inputs[i].num_elements(); ++e) {
      values[e] = ops::BFloat16(static_cast<float>(e * 37 % 101 - 50) / 50);
    }
  }
  run->Run();
  for (auto _ : state) run->Run();

  // With the cosines, gradients are two products.
  const int products = MakesCosines(c) && c.op != "cosine_softmax_sum" ? 2 : 1;
  const double flops =
      2.0 * products * static_cast<double>(c.rows * c.classes) * kColumns;
  double bytes = 0;
  for (const auto& slice : spec.inputs) bytes += slice.size_bytes();
  for (const auto& slice : spec.outputs) bytes += slice.size_bytes();
  // w and momentum are written, too.
  if (spec.outputs.empty()) bytes += 2.0 * spec.inputs[0].size_bytes();
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["FLOP/s"] = benchmark::Counter(flops, rate);
  state.counters["B/s"] = benchmark::Counter(bytes, rate);
  state.counters["floor_ms"] =
      1e3 * std::max(flops / CoreRates().product, bytes / CoreRates().read);
}

void RegisterAll() {
  benchmark::RegisterBenchmark("core/product_in_cache",
                               [](benchmark::State& state) {
                                 for (auto _ : state) CoreRates();
                                 state.counters["FLOP/s"] = CoreRates().product;
                               })
      ->Iterations(1);
  benchmark::RegisterBenchmark("core/read_memory", [](benchmark::State& state) {
    for (auto _ : state) CoreRates();
    state.counters["B/s"] = CoreRates().read;
  })->Iterations(1);
  for (const char* op : {"cosine_linear", "cosine_linear_grad_input",
                         "cosine_linear_sgd", "cosine_softmax_sum",
                         "cosine_softmax_grad_input", "cosine_softmax_sgd"}) {
    for (int64_t classes : {5000, 100000}) {
      for (int64_t rows : {16, 32, 64, 128}) {
        for (ops::DataType stored :
             {ops::DataType::kFloat32, ops::DataType::kBFloat16}) {
          const Case c = {op, rows, classes, stored};
          const char* suffix =
              stored == ops::DataType::kFloat32 ? "" : "/bfloat16";
          benchmark::RegisterBenchmark(
              absl::StrCat(op, "/", rows, "x", classes, suffix).c_str(),
              [c](benchmark::State& state) { Head(state, c); })
              ->Unit(benchmark::kMillisecond);
        }
      }
    }
  }
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  facet::benchmarks::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
