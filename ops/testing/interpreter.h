// The oracle of the tests: runs a logical graph, or one op on given shares, on
// one thread with a kernel library, with no compiler and no runtime between.
#ifndef FACET_OPS_TESTING_INTERPRETER_H_
#define FACET_OPS_TESTING_INTERPRETER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ops/data_source.h"
#include "ops/graph/graph.h"
#include "ops/graph/shard.h"
#include "ops/kernel.h"
#include "ops/op_def.h"

namespace facet::ops {

// A tensor on the host: 64-byte aligned, row-major unless the slice says so.
// New memory is full of NaN (integers: -1).
class HostValue {
 public:
  HostValue() = default;
  explicit HostValue(TensorSlice slice);
  static HostValue Whole(const TensorType& type);

  // The same memory as another slice of the same size in bytes.
  HostValue Alias(TensorSlice slice) const;
  // The same values in memory of its own (copying a HostValue shares it).
  HostValue Copy() const;

  const TensorSlice& slice() const { return slice_; }
  TensorView view() const;  // Writable, like a register.
  template <typename T>
  T* as() const {
    return view().as<T>();
  }
  // Any dtype, as doubles in row-major order, and back (rounded).
  std::vector<double> ToDoubles() const;
  void FromDoubles(const std::vector<double>& values);

 private:
  TensorSlice slice_;
  std::shared_ptr<void> data_;
};

// Of the same type and shape, with the same values to the last bit.
bool SameBits(const HostValue& a, const HostValue& b);

// The share of a whole value that rank `rank` of `k` holds under `sbp`. P(sum):
// shares that add up to it and are not trivial (deterministic); P(max): each
// element is at its value on one rank and smaller on the others.
HostValue TakeShare(const HostValue& whole, const Sbp& sbp, int k, int rank);
// The inverse, from the shares of all ranks. For B: checks all are equal bits.
absl::StatusOr<HostValue> JoinShares(const std::vector<HostValue>& shares,
                                     const Sbp& sbp);

struct RunOptions {
  int64_t step = 0;
  int64_t seed = 0;
  int rank = 0;
  int num_ranks = 1;
  DataSource* data_source = nullptr;
  FetchSink* fetch_sink = nullptr;
  // RunOp: outputs that shall be written over an input (of OpDef::in_place).
  std::vector<InPlacePair> in_place;
};

// Runs one op on given inputs; outputs have the slices asked for. Mutated
// inputs are changed in place. Missing attributes get their defaults. Outputs
// and workspace are full of NaN before, so that a kernel that reads what it
// did not write shows; a kernel that writes past its memory or over an input
// that it does not mutate is an Internal error.
absl::StatusOr<std::vector<HostValue>> RunOp(
    const OpDef& def, const Attributes& attributes,
    const std::vector<HostValue>& inputs,
    const std::vector<TensorSlice>& outputs, const RunOptions& options,
    const KernelLibrary& kernels);

// Runs a whole graph on one device, step by step. Variables are initialised by
// their kernels at construction and keep their values. What an op mutates
// changes at the end of the step: until then everybody reads the old value.
class Interpreter {
 public:
  static absl::StatusOr<Interpreter> Create(const Graph* graph, OpLookup lookup,
                                            const KernelLibrary* kernels,
                                            const RunOptions& options);
  // Overrides a tensor's value: a variable's, or any node's output. A node
  // whose outputs are all overridden is not run.
  void Set(TensorId tensor, HostValue value);
  absl::Status Step();  // Uses and increments the step number.
  const HostValue& value(TensorId tensor) const { return values_[tensor]; }

 private:
  using Updates = std::map<TensorId, HostValue>;
  // `updates` receives the new values of what the node mutates.
  absl::Status Run(const Node& node, const OpDef& def,
                   const RunOptions& options, Updates* updates);

  const Graph* graph_ = nullptr;
  OpLookup lookup_ = nullptr;
  const KernelLibrary* kernels_ = nullptr;
  RunOptions options_;
  std::vector<HostValue> values_;
  std::vector<bool> overridden_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_INTERPRETER_H_
