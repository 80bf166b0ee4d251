// NdSignature: a legal combination of the SBPs of an op's inputs and outputs on
// a mesh: a signature of op_def.h along every axis, those of an inner axis for
// the application to the shares that the outer axes leave.
#ifndef FACET_OPS_ND_SIGNATURE_H_
#define FACET_OPS_ND_SIGNATURE_H_

#include <string>
#include <utility>
#include <vector>

#include "ops/graph/mesh.h"
#include "ops/graph/nd_sbp.h"
#include "ops/op_def.h"

namespace facet::ops {

struct NdSignature {
  std::vector<NdSbp> inputs;
  std::vector<NdSbp> outputs;

  std::string ToString() const;  // "(S(0),B, B,B) -> (S(0),B)"

  friend bool operator==(const NdSignature& a, const NdSignature& b) {
    return a.inputs == b.inputs && a.outputs == b.outputs;
  }
};

// All for a call with these global types; the outermost axis varies slowest.
// Left out: splits that leave a device empty, operands that are P(sum) along
// one axis and P(max) along another, and for an op that hands results to the
// host, copies of shares (either all devices have the same, or none of them).
//
// An op's rule for one axis sees the types of the smallest shares of the outer
// axes, but the attributes of the whole: a rule that depends on numbers takes
// them from operands, or treats both as they are meant.
std::vector<NdSignature> LegalNdSignatures(const OpDef& def, const OpCall& call,
                                           const Mesh& mesh);

// Every input and output with this SBP along every axis.
NdSignature UniformNd(int num_inputs, int num_outputs, int num_axes, Sbp sbp);

}  // namespace facet::ops

#endif  // FACET_OPS_ND_SIGNATURE_H_
