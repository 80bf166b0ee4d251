// float32: oneDNN's sgemm. bfloat16 on a CPU that multiplies it: oneDNN's
// matmul. Other halves: sgemm on float32 copies, rounded once at the end.
#include <memory>
#include <utility>

#include "ops/elementwise.h"
#include "ops/half.h"
#include "ops/kernel.h"
#include "ops/matmul/algorithm.h"
#include "ops/matmul/sgemm.h"
#include "ops/onednn.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Problem {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DataType dtype = DataType::kFloat32;

  explicit Problem(const KernelSpec& spec)
      : m(spec.outputs[0].shape[0]),
        n(spec.outputs[0].shape[1]),
        transpose_a(spec.attributes.Bool("transpose_a")),
        transpose_b(spec.attributes.Bool("transpose_b")),
        dtype(spec.inputs[0].dtype) {
    k = spec.inputs[0].shape[transpose_a ? 0 : 1];
  }
};

absl::Status Multiply(const Problem& p, const float* a, const float* b,
                      float* y) {
  return Sgemm(p.m, p.n, p.k, {a, p.transpose_a ? p.m : p.k, p.transpose_a},
               {b, p.transpose_b ? p.k : p.n, p.transpose_b}, /*beta=*/0, y,
               p.n);
}

// Offsets into the workspace, in floats, 64 bytes aligned.
struct Float32Copies {
  int64_t b = 0, y = 0, end = 0;
  explicit Float32Copies(const Problem& p)
      : b(Aligned(p.m * p.k)),
        y(b + Aligned(p.k * p.n)),
        end(y + Aligned(p.m * p.n)) {}
  static int64_t Aligned(int64_t n) { return (n + 15) / 16 * 16; }
};

template <typename From, typename To>
void Convert(const From* from, int64_t n, To* to) {
  ParallelForElements(n, [&](auto v, int64_t i) {
    using V = decltype(v);
    Store<V>(to + i, Load<V>(from + i));
  });
}

template <typename T>
Kernel HalfByFloat32(const Problem& p) {
  return [p, copies = Float32Copies(p)](const KernelContext& context) {
    float* a = static_cast<float*>(context.workspace);
    float* b = a + copies.b;
    float* y = a + copies.y;
    Convert(context.inputs[0].as<T>(), p.m * p.k, a);
    Convert(context.inputs[1].as<T>(), p.k * p.n, b);
    RETURN_IF_ERROR(Multiply(p, a, b, y));
    Convert(y, p.m * p.n, context.outputs[0].as<T>());
    return absl::OkStatus();
  };
}

bool IsNative(const Problem& p) {
  const bool has_elements = p.m > 0 && p.n > 0 && p.k > 0;
  return has_elements && p.dtype == DataType::kBFloat16 && OnednnHasBFloat16();
}

absl::StatusOr<dnnl::matmul::primitive_desc> DescribeNative(const Problem& p) {
  auto matrix = [](int64_t rows, int64_t columns, bool transpose) {
    const dnnl::memory::dims strides = transpose
                                           ? dnnl::memory::dims{1, rows}
                                           : dnnl::memory::dims{columns, 1};
    return dnnl::memory::desc({rows, columns},
                              OnednnDataType(DataType::kBFloat16), strides);
  };
  dnnl::matmul::primitive_desc description;
  RETURN_IF_ERROR(TryOnednn("matmul", [&] {
    description = OnednnDescribe<dnnl::matmul>(matrix(p.m, p.k, p.transpose_a),
                                               matrix(p.k, p.n, p.transpose_b),
                                               matrix(p.m, p.n, false));
  }));
  return description;
}

absl::StatusOr<Kernel> NativeBFloat16(const Problem& p) {
  ASSIGN_OR_RETURN(dnnl::matmul::primitive_desc description, DescribeNative(p));
  dnnl::matmul primitive;
  RETURN_IF_ERROR(
      TryOnednn("matmul", [&] { primitive = dnnl::matmul(description); }));
  ASSIGN_OR_RETURN(OnednnCall call,
                   OnednnCall::Create(
                       "matmul", primitive,
                       {{DNNL_ARG_SRC, description.src_desc()},
                        {DNNL_ARG_WEIGHTS, description.weights_desc()},
                        {DNNL_ARG_DST, description.dst_desc()},
                        {DNNL_ARG_SCRATCHPAD, description.scratchpad_desc()}}));
  // Shared, as a std::function must be copyable.
  return Kernel([call = std::make_shared<OnednnCall>(std::move(call))](
                    const KernelContext& context) {
    return call->Run({context.inputs[0].data, context.inputs[1].data,
                      context.outputs[0].data, context.workspace});
  });
}

absl::StatusOr<int64_t> WorkspaceBytes(const KernelSpec& spec) {
  const Problem p(spec);
  if (p.dtype == DataType::kFloat32) return 0;
  if (IsNative(p)) {
    ASSIGN_OR_RETURN(dnnl::matmul::primitive_desc description,
                     DescribeNative(p));
    return static_cast<int64_t>(description.scratchpad_desc().get_size());
  }
  return Float32Copies(p).end * static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<Kernel> Create(const KernelSpec& spec) {
  RETURN_IF_ERROR(ExpectNoGpuAlgorithm(spec.attributes.String("algorithm")));
  const Problem p(spec);
  if (IsNative(p)) return NativeBFloat16(p);
  switch (p.dtype) {
    case DataType::kFloat16:
      return HalfByFloat32<Float16>(p);
    case DataType::kBFloat16:
      return HalfByFloat32<BFloat16>(p);
    default:
      return Kernel([p](const KernelContext& context) {
        return Multiply(p, context.inputs[0].as<float>(),
                        context.inputs[1].as<float>(),
                        context.outputs[0].as<float>());
      });
  }
}

}  // namespace

KernelDef MatmulCpuKernel() { return {WorkspaceBytes, Create}; }

}  // namespace facet::ops
