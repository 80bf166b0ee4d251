#include "ops/in_sequence.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/status_macros.h"

namespace facet::ops {
namespace {

struct Sequence {
  KernelDef first, second;
  int first_inputs;
  bool keeps_between;

  // What each of the two has of all operands, slices or views.
  template <typename Inputs>
  std::vector<typename Inputs::value_type> FirstInputs(
      const Inputs& inputs) const {
    return {inputs.begin(), inputs.begin() + first_inputs};
  }
  template <typename Operands>
  std::vector<typename Operands::value_type> SecondInputs(
      const Operands& inputs, const Operands& outputs) const {
    std::vector<typename Operands::value_type> all = {outputs[0]};
    all.insert(all.end(), inputs.begin() + first_inputs, inputs.end());
    return all;
  }
  size_t second_outputs() const { return keeps_between ? 1 : 0; }

  KernelSpec FirstSpec(const KernelSpec& spec) const {
    KernelSpec part = spec;
    part.inputs = FirstInputs(spec.inputs);
    part.outputs.resize(1);
    return part;
  }
  KernelSpec SecondSpec(const KernelSpec& spec) const {
    KernelSpec part = spec;
    part.inputs = SecondInputs(spec.inputs, spec.outputs);
    part.outputs.erase(
        part.outputs.begin(),
        part.outputs.begin() + static_cast<int64_t>(second_outputs()));
    return part;
  }

  absl::StatusOr<int64_t> WorkspaceBytes(const KernelSpec& spec) const {
    int64_t most = 0;
    for (const auto& [def, part] :
         {std::make_pair(&first, FirstSpec(spec)),
          std::make_pair(&second, SecondSpec(spec))}) {
      if (def->workspace_bytes == nullptr) continue;
      ASSIGN_OR_RETURN(const int64_t bytes, def->workspace_bytes(part));
      most = std::max(most, bytes);
    }
    return most;
  }
};

}  // namespace

KernelDef InSequence(KernelDef first, KernelDef second, int first_inputs,
                     bool keeps_between) {
  const Sequence both = {std::move(first), std::move(second), first_inputs,
                         keeps_between};
  KernelDef def;
  def.workspace_bytes = [both](const KernelSpec& spec) {
    return both.WorkspaceBytes(spec);
  };
  if (both.first.depends_on_step != nullptr ||
      both.second.depends_on_step != nullptr) {
    def.depends_on_step = AlwaysDependsOnStep;
  }
  def.create = [both](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    ASSIGN_OR_RETURN(const Kernel one, both.first.create(both.FirstSpec(spec)));
    ASSIGN_OR_RETURN(const Kernel other,
                     both.second.create(both.SecondSpec(spec)));
    return Kernel([both, one, other](const KernelContext& context) {
      KernelContext part = context;
      part.inputs = context.inputs.subspan(0, both.first_inputs);
      part.outputs = context.outputs.subspan(0, 1);
      RETURN_IF_ERROR(one(part));
      const std::vector<TensorView> inputs =
          both.SecondInputs(context.inputs, context.outputs);
      part.inputs = inputs;
      part.outputs = context.outputs.subspan(both.second_outputs());
      return other(part);
    });
  };
  return def;
}

}  // namespace facet::ops
