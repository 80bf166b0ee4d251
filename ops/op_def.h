// OpDef: all that the compiler needs to know about an operator. It never
// compares op names; a question that an OpDef cannot answer becomes a field
// here. Kernels are elsewhere (kernel.h): the compiler does not run them.
//
// Each op has a folder with a function `OpDef <Name>Def()` and its kernels
// beside it; op_list.bzl lists all of them.
#ifndef FACET_OPS_OP_DEF_H_
#define FACET_OPS_OP_DEF_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ops/graph/attributes.h"
#include "ops/graph/graph.h"
#include "ops/graph/sbp.h"

namespace facet::ops {

class GraphBuilder;     // graph_builder.h
class GradientContext;  // gradient.h
class FusionContext;    // fusion.h

// One application of an op, as its functions see it. The types are global for
// infer and signatures, and one device's share for cost.
struct OpCall {
  const Attributes& attributes;
  absl::Span<const TensorType> inputs;
  absl::Span<const TensorType> outputs;  // Empty in infer.
};

// An attribute an op has. `initial` gives its type, and its value where the
// node does not set it, unless it is required.
struct AttributeSpec {
  std::string name;
  AttributeValue initial;
  bool required = false;
  std::string help;
};

// One legal combination of the SBPs of inputs and outputs: if every device
// runs the op on its shares of the inputs, it gets its share of the outputs.
struct Signature {
  std::vector<Sbp> inputs;
  std::vector<Sbp> outputs;
  friend bool operator==(const Signature& a, const Signature& b) {
    return a.inputs == b.inputs && a.outputs == b.outputs;
  }
};

// What one application has to do, on one device: arithmetic, and memory it has
// to move between DRAM and the cores if nothing stays in cache.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// How the precision pass treats the op when the user asks for half precision.
struct PrecisionRule {
  enum class Kind {
    kFloat32,  // All floating inputs in float32 (deny).
    kHalf,     // The inputs in `operands` in half (allow).
    kFollow,   // As operands.front() is; the other operands follow it.
  };
  Kind kind = Kind::kFloat32;
  std::vector<int> operands;  // Input indices; all others stay float32.
};

// Which rank-4 operands may come in another layout than row-major. Operands
// not listed are row-major.
struct LayoutRule {
  std::vector<int> inputs;
  std::vector<int> outputs;
  // True: all listed operands must share one layout (elementwise). False: any
  // mixture (the kernel takes them as they come).
  bool same = true;
};

// Output `output` may be written over input `input` (same size in bytes, same
// layout): element i of the output needs only element i of that input.
struct InPlacePair {
  int input = 0;
  int output = 0;
};

// Which queue of the device runs it.
enum class StreamKind : uint8_t {
  kCompute,
  kCommunication,
  kData,  // Works ahead of the compute: reading and decoding input.
  kHost,  // Hands results to the caller.
};
absl::string_view StreamKindName(StreamKind kind);

// Values a generic test may feed an input: floats uniform in [low, high),
// integers from low to high - 1.
struct InputDomain {
  double low = -1;
  double high = 1;
  // Integers that are distinct and ascend along the last dimension; -1 fills
  // what is left of it: lists of rows.
  bool ascending = false;
};

// For a mutator that leaves its variables behind for a while (rows that are
// brought up to date when they are next used): before anybody outside of the
// step reads or writes them, `op` must have run on these inputs of it. That op
// has no outputs, only variables as inputs, and no workspace; attributes of the
// same name are passed on.
struct SettleRule {
  std::string op;  // Empty: nothing is left behind.
  std::vector<int> inputs;
};

// For an op that does in one what two ops do one after the other: it takes
// their place where a kernel made for that is measured to be faster
// (placement/passes/choose_kernels.h). `second` takes what `first` gives, its
// only output, as its first input. Inputs are those of the first and the other
// ones of the second, outputs those of both, attributes, too.
struct JoinRule {
  std::string first, second;  // Empty: none.
  // False: what is between them is no output, so nobody else may read it.
  bool keeps_between = true;
};

// A small application for the generic tests (tests/op_contract): every
// signature that it has on 2, 3 and 4 devices is run and compared with one
// device. Dims of 5 ... 13 give even and uneven splits. Empty domains:
// all inputs [-1, 1), integers 0 or 1.
struct OpExample {
  Attributes attributes;
  std::vector<TensorType> inputs;
  std::vector<InputDomain> domains;
  // Relative tolerance of sharded against whole, in float32.
  double tolerance = 1e-5;
};

struct OpDef {
  std::string name;
  std::string summary;  // One line for people.
  std::vector<AttributeSpec> attributes;
  std::vector<std::string> inputs;   // Names, in order.
  std::vector<std::string> outputs;  // Names, in order.
  int num_optional_inputs = 0;       // This many of the last may be left out.
  bool variadic = false;             // The last input may repeat, 1 or more.

  // Checks input types and attributes, appends the output types. On failure
  // InvalidArgument that says what was expected and what came; the builder
  // puts the node's name in front.
  std::function<absl::Status(const OpCall& call,
                             std::vector<TensorType>* outputs)>
      infer;

  // All signatures for `num_devices` devices on one mesh axis; those with a
  // split that leaves a device empty are filtered by LegalSignatures, the op
  // need not.
  std::function<std::vector<Signature>(const OpCall& call, int num_devices)>
      signatures;

  // Adds the gradient's nodes. Null: not differentiable; gradients stop here.
  std::function<absl::Status(GradientContext* context)> gradient;

  // Of one device's share. Null: bytes of all operands, no flops.
  std::function<Cost(const OpCall& local)> cost;

  // Rewrites patterns of other ops into this one (fuse pass). Null: none.
  std::function<absl::Status(FusionContext* context)> fuse;
  // The rewritten ops can be split as those they replace, so that fusing them
  // is never worse.
  bool fuse_keeps_signatures = false;
  // They compute again what those they replace had stored: for where memory is
  // short.
  bool fuse_saves_memory = false;

  JoinRule joins;

  // Inputs whose memory the op updates. They must be outputs of a variable.
  std::vector<int> mutates;
  SettleRule settle;
  std::vector<InPlacePair> in_place;
  PrecisionRule precision;
  LayoutRule layout;
  StreamKind stream = StreamKind::kCompute;

  // The op's output is persistent memory that exists before the first step;
  // its kernel runs once, when the session starts.
  bool is_variable = false;
  // Kept although nobody reads its outputs (it mutates or reports).
  bool has_side_effect = false;
  // Only inserted by placement, after SBP assignment: no signatures.
  bool physical = false;
  // There is one for every variable or layer, and many have little to do:
  // several may become one task (placement/passes/group_tasks.h).
  bool may_group = false;

  std::vector<OpExample> examples;

  // The operand that input i is: rules name the last one of a variadic op once
  // and mean all that repeat it.
  int OperandOfInput(int i) const {
    const int last = static_cast<int>(inputs.size()) - 1;
    return variadic && i > last ? last : i;
  }
};

// def.signatures, less those that leave a device with an empty share.
std::vector<Signature> LegalSignatures(const OpDef& def, const OpCall& call,
                                       int num_devices);

// def.cost, or its default.
Cost LocalCost(const OpDef& def, const OpCall& local);

// Signatures that many ops share: every input and output with this SBP.
Signature Uniform(int num_inputs, int num_outputs, Sbp sbp);

// Uniform with B and with every split of operands of this rank: what
// elementwise ops have.
std::vector<Signature> UniformSignatures(int num_inputs, int num_outputs,
                                         int rank);

// How ops are found by name; nullptr for an unknown one. op_table.h has the
// real one; tests may pass others.
using OpLookup = const OpDef* (*)(absl::string_view name);

}  // namespace facet::ops

#endif  // FACET_OPS_OP_DEF_H_
