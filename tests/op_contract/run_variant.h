// Applications of an op: one on a device, one over the devices of a mesh (takes
// shares, runs the kernel once per rank, joins what came out), several at once.
#ifndef FACET_TESTS_OP_CONTRACT_RUN_VARIANT_H_
#define FACET_TESTS_OP_CONTRACT_RUN_VARIANT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/mesh.h"
#include "ops/kernel.h"
#include "ops/nd_signature.h"
#include "ops/op_def.h"
#include "ops/testing/interpreter.h"
#include "tests/op_contract/variants.h"

namespace facet::tests {

// What an application leaves behind, by what it is called in messages:
// "output 0", "mutated input 1", "fetched loss".
struct Results {
  std::map<std::string, ops::HostValue> values;
  // The largest number met in the shares of a partial operand: rounding is
  // relative to it.
  double largest_partial = 0;
};

// On one device. `in_place`: outputs to write over inputs.
absl::StatusOr<Results> RunWhole(const ops::OpDef& def, const Variant& variant,
                                 const std::vector<ops::InPlacePair>& in_place,
                                 const ops::KernelLibrary& kernels);

absl::StatusOr<Results> RunSharded(const ops::OpDef& def,
                                   const Variant& variant,
                                   const ops::NdSignature& signature,
                                   const ops::Mesh& mesh,
                                   const ops::KernelLibrary& kernels);

// As the parts of one task, which have attributes and the number and types of
// operands in common. Scalars that are the same are one operand of all parts,
// as a plan has them. By part.
absl::StatusOr<std::vector<Results>> RunGroup(
    const ops::OpDef& def, const std::vector<Variant>& parts,
    const ops::KernelLibrary& kernels);

}  // namespace facet::tests

#endif  // FACET_TESTS_OP_CONTRACT_RUN_VARIANT_H_
