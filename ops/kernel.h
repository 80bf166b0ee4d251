// Kernels: how an operator is executed on a kind of device. A kernel is a
// function of its context: it allocates nothing and synchronises with nobody;
// the scratch memory it needs is declared beforehand, so that the compiler can
// plan it.
//
// An op's CPU kernel is `KernelDef <Name>CpuKernel()` in <op>/cpu.cc, its CUDA
// kernel `KernelDef <Name>CudaKernel()` in <op>/cuda.cu.
#ifndef FACET_OPS_KERNEL_H_
#define FACET_OPS_KERNEL_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ops/graph/attributes.h"
#include "ops/graph/data_type.h"
#include "ops/graph/layout.h"
#include "ops/graph/shape.h"

namespace facet::ops {

class CudaContext;  // cuda/cuda_context.h
class DataSource;   // data_source.h
class FetchSink;    // fetch_sink.h

// One device's share of a tensor.
struct TensorSlice {
  DataType dtype = DataType::kFloat32;
  Layout layout = Layout::kRowMajor;
  Shape shape;         // Local: what is here.
  Shape global_shape;  // Of the logical tensor.
  Shape offset;        // Of `shape` within `global_shape`.

  int64_t num_elements() const { return shape.num_elements(); }
  int64_t size_bytes() const { return num_elements() * SizeInBytes(dtype); }
};

// A slice with its memory. The data is 64-byte aligned. T must be the C++ type
// of dtype (half.h for the 16-bit ones).
struct TensorView {
  TensorSlice slice;
  void* data = nullptr;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  const Shape& shape() const { return slice.shape; }
  DataType dtype() const { return slice.dtype; }
};

// What is known when a task is planned, and again when it is made.
struct KernelSpec {
  Attributes attributes;
  std::vector<TensorSlice> inputs;
  std::vector<TensorSlice> outputs;
  // Position among the devices that share the work (0 of 1 on one device).
  int rank = 0;
  int num_ranks = 1;
  // On a CUDA device, when the kernel is made: what will run it, current on
  // this thread. Null on CPUs, and while the plan is made.
  CudaContext* cuda = nullptr;
};

// What a kernel gets each time it runs. Owned by the caller, valid during the
// call. Mutated inputs are written through their (non-const) data pointer.
// In-place: an output's data may equal an input's where the OpDef allows it.
struct KernelContext {
  absl::Span<const TensorView> inputs;
  absl::Span<const TensorView> outputs;
  void* workspace = nullptr;  // 64-byte aligned; KernelDef::workspace_bytes.
  // 0-based; -1 when variables are initialised; kNoStep for a CUDA kernel that
  // does not depend on it (KernelDef::depends_on_step).
  int64_t step = 0;
  static constexpr int64_t kNoStep = INT64_MIN;
  int64_t seed = 0;  // The run's seed, for counter-based randomness.
  DataSource* data_source = nullptr;  // For ops that read input; else null.
  FetchSink* fetch_sink = nullptr;    // For ops that report; else null.
  CudaContext* cuda = nullptr;  // On a CUDA device: its stream; else null.
};

// The status is for what the world causes (a file cannot be read); impossible
// shapes were refused by infer. Called by one thread at a time. CPU kernels
// may use ParallelFor (parallel.h) or oneDNN: both run on the calling thread's
// OpenMP team. CUDA kernels put their work into the context's stream and
// return; all data pointers are the device's.
using Kernel = std::function<absl::Status(const KernelContext& context)>;

// The same for the parts of a task that is several applications of one op.
using GroupKernel =
    std::function<absl::Status(absl::Span<const KernelContext> parts)>;

struct KernelDef {
  // Scratch bytes one run needs. Null: none. Deterministic on one machine.
  std::function<absl::StatusOr<int64_t>(const KernelSpec& spec)>
      workspace_bytes;
  // May do expensive preparation (JIT, choosing an algorithm).
  std::function<absl::StatusOr<Kernel>(const KernelSpec& spec)> create;
  // Of several applications at once, which have the attributes, the number of
  // operands and their types in common, and share what starting work costs.
  // Null: they run one after the other.
  std::function<absl::StatusOr<GroupKernel>(absl::Span<const KernelSpec> specs)>
      create_group = nullptr;
  // What attributes leave to the device ("auto"): every setting of them that
  // would do, each complete, none twice. The first is what a rule takes that
  // knows no measurement. Attributes that leave nothing: they alone. At least
  // one setting is the same for all devices' shares of a node, so that they can
  // agree. A library may turn out to have none for this GPU: then `create` is
  // Unimplemented. The compiler chooses (placement/passes/choose_kernels.h), so
  // that the choice stands in the plan. Null: nothing is ever left.
  // Deterministic on one machine.
  std::function<std::vector<Attributes>(const KernelSpec& spec)> alternatives =
      nullptr;
  // CUDA kernels: what they put into the stream is not the same in every run on
  // the same memory, since it depends on KernelContext::step. Others do not get
  // to know the step, and may be replayed instead of called. Null: never.
  std::function<bool(const KernelSpec& spec)> depends_on_step = nullptr;
  // Float32 outputs of 16-bit inputs were rounded to the inputs' type on the
  // way, once: a library has no other. Tests allow for it.
  bool rounds_to_inputs = false;
};

// For KernelDef::depends_on_step.
inline bool AlwaysDependsOnStep(const KernelSpec&) { return true; }

// Of one or more applications (see KernelDef::create_group).
absl::StatusOr<GroupKernel> CreateGroupKernel(
    const KernelDef& def, absl::Span<const KernelSpec> specs);

// The kernels of one kind of device, by op name.
struct KernelLibrary {
  absl::string_view device_kind;                   // "cpu", "cuda"
  const KernelDef* (*find)(absl::string_view op);  // nullptr: has none.
  // The layout its convolutions like best for this element type.
  Layout (*preferred_layout)(DataType dtype);
};

}  // namespace facet::ops

#endif  // FACET_OPS_KERNEL_H_
