#include "benchmarks/tuning/time_kernel.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "ops/half.h"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

// In turns until those that count took this long, but at least so many.
constexpr double kEnoughSeconds = 0.05;
constexpr int kFewestRuns = 3;

int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Between -1 and 1. Integers are 0.
std::vector<char> Numbers(const ops::TensorSlice& slice) {
  std::vector<char> bytes(slice.size_bytes());
  if (!ops::IsFloating(slice.dtype)) return bytes;
  ops::VisitFloating(slice.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = reinterpret_cast<T*>(bytes.data());
    for (int64_t i = 0; i < slice.num_elements(); ++i) {
      to[i] = static_cast<T>(static_cast<float>(i * 37 % 101) / 50 - 1);
    }
  });
  return bytes;
}

absl::Status Fill(runtime::Device* device, const ops::TensorView& view) {
  const std::vector<char> bytes = Numbers(view.slice);
  return device->CopyFromHost(bytes.data(), view.data,
                              static_cast<int64_t>(bytes.size()));
}

// Measures what runs in a stream of a device.
class Stopwatch {
 public:
  static absl::StatusOr<Stopwatch> Create(runtime::Device* device,
                                          runtime::Stream* stream) {
    Stopwatch watch(stream);
    if (device->asynchronous()) {
      ASSIGN_OR_RETURN(watch.start_, device->CreateEvent(/*timed=*/true));
      ASSIGN_OR_RETURN(watch.end_, device->CreateEvent(/*timed=*/true));
    }
    return watch;
  }

  // Seconds of one run. Of an asynchronous device: of several in a row, so that
  // what the host takes to start one is hidden, as in a step.
  absl::StatusOr<double> Time(const ops::Kernel& kernel,
                              const ops::KernelContext& context) const {
    if (start_ == nullptr) {
      using Clock = std::chrono::steady_clock;
      const Clock::time_point start = Clock::now();
      RETURN_IF_ERROR(kernel(context));
      return std::chrono::duration<double>(Clock::now() - start).count();
    }
    constexpr int kInARow = 8;
    RETURN_IF_ERROR(stream_->Record(*start_));
    for (int run = 0; run < kInARow; ++run) RETURN_IF_ERROR(kernel(context));
    RETURN_IF_ERROR(stream_->Record(*end_));
    RETURN_IF_ERROR(stream_->Synchronize());
    ASSIGN_OR_RETURN(const double seconds, end_->SecondsSince(*start_));
    return seconds / kInARow;
  }

 private:
  explicit Stopwatch(runtime::Stream* stream) : stream_(stream) {}

  runtime::Stream* stream_;
  std::unique_ptr<runtime::Event> start_, end_;  // None: synchronous.
};

struct Prepared {
  ops::Kernel kernel;
  int64_t workspace_bytes = 0;
};

absl::StatusOr<Prepared> Prepare(const placement::KernelChoice& choice,
                                 const ops::Attributes& attributes,
                                 const ops::KernelDef& def,
                                 ops::CudaContext* cuda) {
  ops::KernelSpec spec = choice.spec;
  spec.attributes = attributes;
  spec.cuda = cuda;
  Prepared prepared;
  if (def.workspace_bytes != nullptr) {
    ASSIGN_OR_RETURN(prepared.workspace_bytes, def.workspace_bytes(spec));
  }
  ASSIGN_OR_RETURN(prepared.kernel, def.create(spec));
  return prepared;
}

// An alternative that fails leaves its error; the status is of what all of them
// need.
absl::Status Time(const placement::KernelChoice& choice,
                  runtime::Device* device,
                  std::vector<absl::StatusOr<double>>* best) {
  const ops::KernelDef* def = device->kernels().find(choice.op);
  CHECK(def != nullptr) << choice.op;
  ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Stream> stream,
                   device->CreateStream(ops::StreamKind::kCompute));
  ASSIGN_OR_RETURN(const Stopwatch watch,
                   Stopwatch::Create(device, stream.get()));
  std::vector<Prepared> prepared(choice.alternatives.size());
  int64_t workspace_bytes = 0;
  bool any = false;  // Left to be measured.
  auto failed = [&](size_t a, const absl::Status& status) {
    LOG_IF(WARNING, !absl::IsUnimplemented(status))
        << choice.op << " cannot be measured: " << status;
    prepared[a].kernel = nullptr;
    (*best)[a] = status;
  };
  for (size_t a = 0; a < prepared.size(); ++a) {
    absl::StatusOr<Prepared> one =
        Prepare(choice, choice.alternatives[a], *def, stream->cuda());
    if (!one.ok()) {
      failed(a, one.status());
      continue;
    }
    prepared[a] = *std::move(one);
    workspace_bytes = std::max(workspace_bytes, prepared[a].workspace_bytes);
    any = true;
  }
  if (!any) return absl::OkStatus();

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
    RETURN_IF_ERROR(Fill(device, inputs.back()));
  }
  for (const ops::TensorSlice& slice : choice.spec.outputs) {
    outputs.push_back({slice, take(slice.size_bytes())});
  }
  ops::KernelContext context;
  context.inputs = inputs;
  context.outputs = outputs;
  context.workspace = take(workspace_bytes);
  context.cuda = stream->cuda();

  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  auto spent = [&start] {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  // The first runs warm up: pages, caches, what a library does once.
  for (int run = 0; any && (run <= kFewestRuns || spent() < kEnoughSeconds);
       ++run) {
    if (run == 1) start = Clock::now();
    any = false;
    for (size_t a = 0; a < prepared.size(); ++a) {
      if (prepared[a].kernel == nullptr) continue;
      any = true;
      const absl::StatusOr<double> seconds =
          watch.Time(prepared[a].kernel, context);
      if (!seconds.ok()) {
        failed(a, seconds.status());
      } else if (run > 0) {
        (*best)[a] = std::min((*best)[a].value_or(*seconds), *seconds);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<absl::StatusOr<double>> TimeKernel(
    const placement::KernelChoice& choice, runtime::Device* device) {
  const absl::Status not_run = absl::UnavailableError("not measured");
  std::vector<absl::StatusOr<double>> best(choice.alternatives.size(), not_run);
  const absl::Status status = Time(choice, device, &best);
  if (!status.ok()) {
    LOG(WARNING) << choice.op << " cannot be measured: " << status;
    for (absl::StatusOr<double>& one : best) {
      if (!absl::IsUnimplemented(one.status())) one = status;
    }
  }
  return best;
}

}  // namespace facet::benchmarks
