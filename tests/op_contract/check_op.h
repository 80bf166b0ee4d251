// The contract every operator keeps, as checks of one OpDef and its kernel.
// op_contract_test.cc holds all registered ops to it.
//
// Each check returns what is wrong, one self-contained sentence each, with the
// op, the example and what was expected; empty: all is well. Numbers of an op
// against its mathematical definition are in the op's own test.
#ifndef FACET_TESTS_OP_CONTRACT_CHECK_OP_H_
#define FACET_TESTS_OP_CONTRACT_CHECK_OP_H_

#include <string>
#include <vector>

#include "ops/kernel.h"
#include "ops/op_def.h"

namespace facet::tests {

// The definition is complete and consistent: names, indices in range, examples
// that infer accepts, infer that refuses other types by a Status, signatures
// that fit the operands, costs that are finite, a kernel.
std::vector<std::string> CheckDefinition(const ops::OpDef& def,
                                         const ops::KernelLibrary& kernels);

// For every example, and every legal signature on 2, 3 and 4 devices: the op
// on each device's shares of the inputs gives, joined, what it gives on one
// device; outputs, mutated inputs and what it fetches. In float32 and in the
// half types the precision rule allows, and with optional inputs left out.
std::vector<std::string> CheckSignatures(const ops::OpDef& def,
                                         const ops::KernelLibrary& kernels);

// The op run twice gives the same bits, and so it does where it writes an
// output over an input as in_place allows.
std::vector<std::string> CheckInPlace(const ops::OpDef& def,
                                      const ops::KernelLibrary& kernels);

// Examples of one kind, often enough repeated to be of several launches, give
// the same bits as the parts of one task. Nothing to check for ops that are
// never grouped.
std::vector<std::string> CheckGroups(const ops::OpDef& def,
                                     const ops::KernelLibrary& kernels);

// An op that may round the factors of its products does so: for kernels of
// devices that are sure to. Nothing to check for ops without the attribute.
std::vector<std::string> CheckRounds(const ops::OpDef& def,
                                     const ops::KernelLibrary& kernels);

// The gradient rule gives every floating input of every example a gradient of
// its type, or none, in float32 and in half.
std::vector<std::string> CheckGradientRule(const ops::OpDef& def,
                                           ops::OpLookup lookup);

}  // namespace facet::tests

#endif  // FACET_TESTS_OP_CONTRACT_CHECK_OP_H_
