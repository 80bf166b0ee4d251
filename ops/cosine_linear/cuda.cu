// w is walked over in tiles of classes (device_tiles.h): a light kernel and a
// product by cuBLAS for each, in the stream's order, so that neither the
// normalised w nor its gradient is ever stored whole. For a local w [C, D], in
// memory beside the 8 C D bytes of the tiles' matrix, written and read:
//
//   cosine_linear             read w, write y                  2 N C D FLOP
//   cosine_linear_grad_input  read w and dy                    2 N C D
//   cosine_linear_sgd         read w, momentum and dy,         (2 N + 15) C D
//                             write w and momentum
//
// which is the least there is, but for that matrix and for x and dx [N, D],
// once per tile. An A100
// does 10 operations in float32 for every byte: from 20 rows on (N; the update:
// 80) the products are what takes time. With may_round it does 80, and only
// beyond 160 rows (640) it is bound by them.
#include "ops/cosine_linear/device_tiles.h"
#include "ops/cosine_linear/device_update.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/l2_normalize/device_normalize.h"
#include "ops/may_round_attribute.h"
#include "ops/sgd_update/device_sgd.h"
#include "ops/sgd_update/device_state.h"
#include "ops/sgd_update/rounding_stream.h"
#include "ops/sgd_update/sgd_scalars.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// What a kernel is made with.
struct Head {
  cublasContext* cublas = nullptr;
  float eps = 0;
  bool may_round = false;
  // Of the update.
  AccumulatingSgd sgd;
  int64_t key = 0;  // Of the rounding.
};

absl::StatusOr<Head> MakeHead(const KernelSpec& spec) {
  Head head;
  ASSIGN_OR_RETURN(head.cublas, spec.cuda->cublas());
  head.eps = static_cast<float>(spec.attributes.Float("eps"));
  head.may_round = spec.attributes.Bool(kMayRound);
  return head;
}

// For all tiles of classes, in order: body(classes, rows, gemm_workspace), with
// the classes' rows of w normalised, in float32.
template <typename Body>
absl::Status ForNormalizedTiles(const Head& head, const KernelContext& context,
                                const Body& body) {
  const TensorView& w = context.inputs[1];
  const int64_t d = w.shape()[1];
  const DeviceTiles tiles(w.shape()[0], d);
  return tiles.ForEach([&](Range classes) -> absl::Status {
    const DeviceSpan<float> rows =
        tiles.Matrix(context.workspace, classes.size());
    RETURN_IF_ERROR(VisitStoredElement(w.dtype(), [&](auto zero) {
      const DeviceSpan<const decltype(zero)> all(w);
      return NormalizeRows(*context.cuda, d, head.eps,
                           all.Part(classes.begin * d, rows.size()), rows);
    }));
    return body(classes, GemmOperand{rows.data(), DataType::kFloat32, d},
                tiles.OfGemm(context.workspace));
  });
}

// y [N, C] = x [N, D] times the normalised w [C, D], transposed: a tile of its
// columns at a time.
absl::Status Forward(const Head& head, const KernelContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  GemmCall call;
  call.may_round = head.may_round;
  call.m = x.shape()[0];
  call.k = x.shape()[1];
  call.a = {x.data, x.dtype(), call.k};
  return ForNormalizedTiles(
      head, context, [&](Range classes, GemmOperand rows, void* workspace) {
        call.n = classes.size();
        call.b = rows;
        call.b.transposed = true;
        call.c = {y.as<float>() + classes.begin, y.dtype(), y.shape()[1]};
        return Gemm(head.cublas, call, workspace);
      });
}

// dx [N, D] = dy [N, C] times the normalised w: the sum of what the tiles of
// classes give, in their order.
absl::Status GradInput(const Head& head, const KernelContext& context) {
  const TensorView& dy = context.inputs[0];
  const TensorView& dx = context.outputs[0];
  GemmCall call;
  call.may_round = head.may_round;
  call.m = dx.shape()[0];
  call.n = dx.shape()[1];
  call.c = {dx.data, dx.dtype(), call.n};
  return ForNormalizedTiles(
      head, context, [&](Range classes, GemmOperand rows, void* workspace) {
        call.k = classes.size();
        call.a = {dy.as<float>() + classes.begin, dy.dtype(), dy.shape()[1]};
        call.b = rows;
        call.beta = classes.begin > 0 ? 1 : 0;
        return Gemm(head.cublas, call, workspace);
      });
}

// A warp has a class of the tile. `element`: the tile's first, of the logical
// w. Where rows are not kept in registers ptxas 13.0 uses 32 and spills, unless
// it is told that 4 blocks of a multiprocessor are enough.
template <int kWidth, int kVectors, typename W, typename M>
__global__ void __launch_bounds__(kBlockThreads, kVectors == 0 ? 4 : 0)
    UpdateClassesKernel(SgdStep step, DeviceSgdScalars scalars, float eps,
                        RandomStream rounding, int64_t element, int64_t columns,
                        DeviceSpan<const float> products, DeviceSpan<W> weight,
                        DeviceSpan<M> momentum) {
  const int64_t first = RowOfWarp() * columns;
  if (first >= weight.size() || !SgdOfThisRun(scalars, &step)) return;
  UpdateClass<kWidth, kVectors>(step, eps, products.Part(first, columns),
                                weight.Part(first, columns),
                                momentum.Part(first, columns), rounding,
                                element + first, [](float*, float*) {});
}

template <typename W, typename M>
absl::Status Update(const Head& head, const KernelContext& context) {
  const DeviceSpan<W> weight(context.inputs[0]);
  const DeviceSpan<M> momentum(context.inputs[1]);
  const int64_t d = context.inputs[0].shape()[1];
  const int64_t offset = context.inputs[0].slice.offset[0];
  auto update = [&](Range classes, DeviceSpan<const float> products) {
    const int64_t begin = classes.begin * d, count = classes.size() * d;
    return VisitRowShape(d, [&](auto width, auto vectors) {
      return Launch(UpdateClassesKernel<decltype(width)::value,
                                        decltype(vectors)::value, W, M>,
                    WarpPerRow(classes.size()), context.cuda->stream(),
                    head.sgd.At(context.step), SgdScalarsOf(context, 4),
                    head.eps, RoundingStream(context, head.key),
                    offset * d + begin, d, products, weight.Part(begin, count),
                    momentum.Part(begin, count));
    });
  };
  return ForGradientTiles(head.cublas, head.may_round, context.inputs[2],
                          context.inputs[3], context.workspace, update);
}

// `w`: the number of input w.
absl::StatusOr<int64_t> WorkspaceBytes(const KernelSpec& spec, size_t w) {
  const Shape& shape = spec.inputs[w].shape;
  return DeviceTiles(shape[0], shape[1]).workspace_bytes();
}

KernelDef OfProduct(absl::Status (*run)(const Head&, const KernelContext&)) {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) {
    return WorkspaceBytes(spec, 1);
  };
  def.create = [run](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const Head head, MakeHead(spec));
    return Kernel([run, head](const KernelContext& context) {
      return run(head, context);
    });
  };
  return def;
}

}  // namespace

KernelDef CosineLinearCudaKernel() { return OfProduct(Forward); }
KernelDef CosineLinearGradInputCudaKernel() { return OfProduct(GradInput); }

KernelDef CosineLinearSgdCudaKernel() {
  KernelDef def;
  def.depends_on_step = SgdDependsOnStep;
  def.workspace_bytes = [](const KernelSpec& spec) {
    return WorkspaceBytes(spec, 0);
  };
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(Head head, MakeHead(spec));
    head.sgd = AccumulatingSgdOf(spec.attributes);
    head.key = spec.attributes.Int("key");
    return Kernel([head](const KernelContext& context) {
      return VisitDeviceState(
          context.inputs[0], context.inputs[1], [&](auto w, auto m) {
            return Update<decltype(w), decltype(m)>(head, context);
          });
    });
  };
  return def;
}

}  // namespace facet::ops
