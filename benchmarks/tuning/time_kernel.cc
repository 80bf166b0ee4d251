#include "benchmarks/tuning/time_kernel.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "ops/half.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

// In turns until all that count took this long, but at least so many.
constexpr double kEnoughSeconds = 0.05;
constexpr int kFewestRuns = 3;

constexpr double kNotMeasured = std::numeric_limits<double>::infinity();

int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Between -1 and 1. Integers stay 0.
void Fill(const ops::TensorSlice& slice, void* data) {
  if (!ops::IsFloating(slice.dtype)) return;
  ops::VisitFloating(slice.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = static_cast<T*>(data);
    for (int64_t i = 0; i < slice.num_elements(); ++i) {
      to[i] = static_cast<T>(static_cast<float>(i * 37 % 101) / 50 - 1);
    }
  });
}

struct Prepared {
  ops::Kernel kernel;
  int64_t workspace_bytes = 0;
};

absl::StatusOr<Prepared> Prepare(const placement::KernelChoice& choice,
                                 const ops::Attributes& attributes,
                                 const ops::KernelDef& def) {
  ops::KernelSpec spec = choice.spec;
  spec.attributes = attributes;
  Prepared prepared;
  if (def.workspace_bytes != nullptr) {
    ASSIGN_OR_RETURN(prepared.workspace_bytes, def.workspace_bytes(spec));
  }
  ASSIGN_OR_RETURN(prepared.kernel, def.create(spec));
  return prepared;
}

// An alternative that fails leaves infinity, and a warning; the status is of
// what all of them need.
absl::Status Time(const placement::KernelChoice& choice,
                  runtime::Device* device, std::vector<double>* best) {
  const ops::KernelDef* def = device->kernels().find(choice.op);
  CHECK(def != nullptr) << choice.op;
  std::vector<Prepared> prepared(choice.alternatives.size());
  int64_t workspace_bytes = 0;
  auto failed = [&](size_t a, const absl::Status& status) {
    LOG(WARNING) << choice.op << " cannot be measured: " << status;
    prepared[a].kernel = nullptr;
    (*best)[a] = kNotMeasured;
  };
  for (size_t a = 0; a < prepared.size(); ++a) {
    absl::StatusOr<Prepared> one =
        Prepare(choice, choice.alternatives[a], *def);
    if (!one.ok()) {
      failed(a, one.status());
      continue;
    }
    prepared[a] = *std::move(one);
    workspace_bytes = std::max(workspace_bytes, prepared[a].workspace_bytes);
  }

  int64_t bytes = Aligned(workspace_bytes);
  for (const auto* slices : {&choice.spec.inputs, &choice.spec.outputs}) {
    for (const ops::TensorSlice& slice : *slices) {
      bytes += Aligned(slice.size_bytes());
    }
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Arena> arena,
                   device->Allocate(bytes));
  char* next = static_cast<char*>(arena->data());
  auto take = [&next](int64_t size) {
    return std::exchange(next, next + Aligned(size));
  };
  std::vector<ops::TensorView> inputs, outputs;
  for (const ops::TensorSlice& slice : choice.spec.inputs) {
    inputs.push_back({slice, take(slice.size_bytes())});
    Fill(slice, inputs.back().data);
  }
  for (const ops::TensorSlice& slice : choice.spec.outputs) {
    outputs.push_back({slice, take(slice.size_bytes())});
  }
  ops::KernelContext context;
  context.inputs = inputs;
  context.outputs = outputs;
  context.workspace = take(workspace_bytes);

  using Clock = std::chrono::steady_clock;
  double total = 0;
  // The first runs warm up: pages, caches, what a library does once.
  for (int run = 0; run <= kFewestRuns || total < kEnoughSeconds; ++run) {
    bool any = false;
    for (size_t a = 0; a < prepared.size(); ++a) {
      if (prepared[a].kernel == nullptr) continue;
      any = true;
      const Clock::time_point start = Clock::now();
      const absl::Status status = prepared[a].kernel(context);
      const double seconds =
          std::chrono::duration<double>(Clock::now() - start).count();
      if (!status.ok()) {
        failed(a, status);
      } else if (run > 0) {
        (*best)[a] = std::min((*best)[a], seconds);
        total += seconds;
      }
    }
    if (!any) break;
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<double> TimeKernel(const placement::KernelChoice& choice,
                               runtime::Device* device) {
  CHECK(device->host_accessible()) << device->name();
  std::vector<double> best(choice.alternatives.size(), kNotMeasured);
  const absl::Status status = Time(choice, device, &best);
  LOG_IF(WARNING, !status.ok())
      << choice.op << " cannot be measured: " << status;
  return best;
}

}  // namespace facet::benchmarks
