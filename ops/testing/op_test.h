// How an op's own test checks it: values against a float64 reference, and
// gradients against central differences of that reference.
#ifndef FACET_OPS_TESTING_OP_TEST_H_
#define FACET_OPS_TESTING_OP_TEST_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "ops/graph/graph.h"
#include "ops/kernel.h"
#include "ops/op_def.h"

namespace facet::ops {

// Row-major values of a tensor, in float64.
using Values = std::vector<double>;

// Outputs of the op from its inputs, both in float64: the plain definition. If
// the op mutates inputs, their new values follow the outputs, in the order of
// OpDef::mutates.
using Reference = std::function<std::vector<Values>(
    const Attributes& attributes, const std::vector<TensorType>& types,
    const std::vector<Values>& inputs)>;

struct OpCase {
  std::string op;
  Attributes attributes;
  std::vector<TensorType> inputs;
  std::vector<InputDomain> domains = {};  // As OpExample's.
  double tolerance = 1e-5;  // Relative to the output's largest value.
  // Each in every way that its kernels have (KernelDef::alternatives), but for
  // those that are Unimplemented on the GPU that is here.
  bool every_alternative = false;
  // Overwrites inputs that are not free but follow from others (statistics of
  // x). Derivatives then include the path through them. Null: all are free.
  std::function<void(std::vector<Values>* inputs)> derive_inputs = {};
};

// Fixed pseudo-random values in the domain: uniform, integers low to high - 1.
// `seed` tells the operands of one case apart.
Values RandomValues(const TensorType& type, const InputDomain& domain,
                    int64_t seed);

// What has a kernel of the op that can run here: the CPU, and CUDA where there
// is a device (emulated, there always is).
std::vector<const KernelLibrary*> LibrariesToTest(absl::string_view op);

// Runs the kernels of LibrariesToTest on random inputs of the case and compares
// every output with the reference. Then repeats it with the inputs that the
// op's precision rule allows in half as float16 and as bfloat16 (inputs rounded
// first, so that the tolerance is the output's rounding: 2^-9 and 2^-6 relative
// to the largest value; float32 outputs keep the case's, unless the kernel
// rounds_to_inputs), and, for rank-4 operands that may be in other layouts, in
// those of the device: nChw8c and nChw16c, where the channels allow it, or
// nhwc.
void ExpectMatchesReference(const OpCase& op_case, const Reference& reference);

// Differentiates sum(output * fixed random weights) by the op's gradient rule,
// run with the CPU kernels in float32, and compares with central differences
// of the reference, for every floating input. `differentiable_inputs`: indices
// to check; empty: all floating inputs.
void ExpectGradientMatches(const OpCase& op_case, const Reference& reference,
                           std::vector<int> differentiable_inputs = {},
                           double tolerance = 1e-3);

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_OP_TEST_H_
