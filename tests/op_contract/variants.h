// The applications of an op that the contract checks: its examples, each also
// with optional inputs left out and in half precision, with values to feed.
#ifndef FACET_TESTS_OP_CONTRACT_VARIANTS_H_
#define FACET_TESTS_OP_CONTRACT_VARIANTS_H_

#include <string>
#include <vector>

#include "ops/op_def.h"
#include "ops/testing/interpreter.h"

namespace facet::tests {

struct Variant {
  std::string name;            // "example 0: (float32[5, 3], int32[5])"
  ops::Attributes attributes;  // Complete.
  std::vector<ops::TensorType> inputs;
  std::vector<ops::TensorType> outputs;
  std::vector<ops::InputDomain> domains;  // One per input.
  double tolerance = 0;                   // In float32.

  ops::OpCall call() const { return {attributes, inputs, outputs}; }
};

// Those that infer accepts; what it refuses is added to `errors`.
std::vector<Variant> MakeVariants(const ops::OpDef& def,
                                  std::vector<std::string>* errors);

// Whole inputs with the same pseudo-random values each time.
std::vector<ops::HostValue> MakeInputs(const Variant& variant);

// Whole and row-major.
ops::TensorSlice WholeSlice(const ops::TensorType& type);

}  // namespace facet::tests

#endif  // FACET_TESTS_OP_CONTRACT_VARIANTS_H_
