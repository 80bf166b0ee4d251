#include "ops/joined_op.h"

#include <memory>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using Types = std::vector<TensorType>;

struct Joined {
  OpDef first, second;
  bool keeps_between;

  size_t num_first_inputs() const { return first.inputs.size(); }

  absl::Span<const TensorType> FirstInputs(const OpCall& call) const {
    return call.inputs.subspan(0, num_first_inputs());
  }
  // `between` is what the first one gives.
  Types SecondInputs(const OpCall& call, const TensorType& between) const {
    Types inputs = {between};
    const auto rest = call.inputs.subspan(num_first_inputs());
    inputs.insert(inputs.end(), rest.begin(), rest.end());
    return inputs;
  }
  absl::StatusOr<TensorType> Between(const OpCall& call) const {
    Types outputs;
    RETURN_IF_ERROR(
        first.infer({call.attributes, FirstInputs(call), {}}, &outputs));
    return outputs[0];
  }

  absl::Status Infer(const OpCall& call, Types* outputs) const {
    ASSIGN_OR_RETURN(const TensorType between, Between(call));
    if (keeps_between) outputs->push_back(between);
    return second.infer({call.attributes, SecondInputs(call, between), {}},
                        outputs);
  }

  // The two calls that make up this one.
  template <typename F>
  auto WithCalls(const OpCall& call, const F& f) const {
    const absl::StatusOr<TensorType> between = Between(call);
    CHECK(between.ok()) << between.status();
    const Types second_inputs = SecondInputs(call, *between);
    const OpCall a = {call.attributes, FirstInputs(call), {&*between, 1}};
    const OpCall b = {call.attributes, second_inputs,
                      call.outputs.subspan(keeps_between ? 1 : 0)};
    return f(a, b);
  }

  std::vector<Signature> Signatures(const OpCall& call, int num_devices) const {
    std::vector<Signature> both;
    WithCalls(call, [&](const OpCall& a, const OpCall& b) {
      const std::vector<Signature> seconds = second.signatures(b, num_devices);
      for (const Signature& s : first.signatures(a, num_devices)) {
        for (const Signature& t : seconds) {
          if (t.inputs[0] != s.outputs[0]) continue;
          Signature signature = s;
          signature.inputs.insert(signature.inputs.end(), t.inputs.begin() + 1,
                                  t.inputs.end());
          if (!keeps_between) signature.outputs.clear();
          signature.outputs.insert(signature.outputs.end(), t.outputs.begin(),
                                   t.outputs.end());
          both.push_back(std::move(signature));
        }
      }
    });
    return both;
  }

  Cost CostOf(const OpCall& local) const {
    return WithCalls(local, [&](const OpCall& a, const OpCall& b) {
      const Cost one = LocalCost(first, a), other = LocalCost(second, b);
      const auto between = static_cast<double>(a.outputs[0].size_bytes());
      Cost cost;
      cost.flops = one.flops + other.flops;
      cost.bytes = one.bytes + other.bytes - (keeps_between ? 1 : 2) * between;
      return cost;
    });
  }
};

}  // namespace

OpDef JoinedOp(std::string name, std::string summary, OpDef first, OpDef second,
               bool keeps_between) {
  CHECK_EQ(first.outputs.size(), 1u) << name;
  OpDef def;
  def.name = std::move(name);
  def.summary = std::move(summary);
  def.joins = {first.name, second.name, keeps_between};
  def.attributes = first.attributes;
  def.attributes.insert(def.attributes.end(), second.attributes.begin(),
                        second.attributes.end());
  def.inputs = first.inputs;
  def.inputs.insert(def.inputs.end(), second.inputs.begin() + 1,
                    second.inputs.end());
  if (keeps_between) def.outputs = first.outputs;
  def.outputs.insert(def.outputs.end(), second.outputs.begin(),
                     second.outputs.end());
  def.precision = first.precision;
  def.layout = first.layout;
  auto joined = std::make_shared<const Joined>(
      Joined{std::move(first), std::move(second), keeps_between});
  def.infer = [joined](const OpCall& call, Types* outputs) {
    return joined->Infer(call, outputs);
  };
  def.signatures = [joined](const OpCall& call, int num_devices) {
    return joined->Signatures(call, num_devices);
  };
  def.cost = [joined](const OpCall& local) { return joined->CostOf(local); };
  return def;
}

}  // namespace facet::ops
