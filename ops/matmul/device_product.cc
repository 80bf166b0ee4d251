#include "ops/matmul/device_product.h"

#include <memory>
#include <utility>

#include "glog/logging.h"
#include "ops/cuda/cuda_context.h"
#include "ops/cuda/lt_gemm.h"
#include "ops/matmul/algorithm.h"
#include "ops/may_round_attribute.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// The heuristics rarely err by more.
constexpr int kAlgorithms = 4;

GemmOperand Operand(const TensorSlice& slice, bool transposed) {
  CHECK_EQ(slice.shape.rank(), 2);
  return {nullptr, slice.dtype, slice.shape[1], transposed};
}

}  // namespace

GemmCall ProductOf(const KernelSpec& spec) {
  const TensorSlice& y = spec.outputs[0];
  GemmCall call;
  call.a = Operand(spec.inputs[0], spec.attributes.Bool("transpose_a"));
  call.b = Operand(spec.inputs[1], spec.attributes.Bool("transpose_b"));
  call.c = {nullptr, y.dtype, y.shape[1]};
  call.m = y.shape[0];
  call.n = y.shape[1];
  call.k = spec.inputs[0].shape[call.a.transposed ? 0 : 1];
  call.may_round = spec.attributes.Bool(kMayRound);
  return call;
}

std::vector<Attributes> ProductAlternatives(const KernelSpec& spec,
                                            const std::string& separate) {
  std::vector<Attributes> all = {spec.attributes};
  if (spec.attributes.String("algorithm") != "auto") return all;
  all[0].Set("algorithm", separate);
  if (IsEmpty(ProductOf(spec))) return all;
  for (int number = 0; number < kAlgorithms; ++number) {
    all.push_back(spec.attributes);
    all.back().Set("algorithm", CublasLtAlgorithm(number));
  }
  return all;
}

absl::StatusOr<Kernel> CreateLtProduct(const KernelSpec& spec, bool has_bias,
                                       int algorithm) {
  ASSIGN_OR_RETURN(LtGemm product, LtGemm::Create(spec.cuda, ProductOf(spec),
                                                  has_bias, algorithm));
  // Shared because std::function wants to be copied.
  auto shared = std::make_shared<const LtGemm>(std::move(product));
  return Kernel([shared, has_bias](const KernelContext& context) {
    LtGemm::Operands operands;
    operands.a = context.inputs[0].data;
    operands.b = context.inputs[1].data;
    if (has_bias) operands.bias = context.inputs[2].data;
    operands.c = context.outputs[0].data;
    operands.workspace = context.workspace;
    return shared->Run(context.cuda->stream(), operands);
  });
}

}  // namespace facet::ops
