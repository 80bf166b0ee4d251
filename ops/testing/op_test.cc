#include "ops/testing/op_test.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/gradient.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/cuda_on_host.h"
#include "ops/testing/given_op.h"
#include "ops/testing/half_operands.h"
#include "ops/testing/interpreter.h"

namespace facet::ops {
namespace {

// The operands of one application: given inputs, the node, its types.
struct Application {
  Graph graph;
  std::vector<TensorId> inputs;
  NodeId node = kNone;

  const Node& op_node() const { return graph.nodes[node]; }
  const TensorType& type(TensorId t) const { return graph.tensors[t].type; }
};

absl::StatusOr<Application> Apply(const OpCase& op_case,
                                  const std::vector<TensorType>& types) {
  Application result;
  GraphBuilder builder(&result.graph, FindOpOrGiven);
  for (size_t i = 0; i < types.size(); ++i) {
    result.inputs.push_back(
        AddGiven(&builder, absl::StrCat("input", i), types[i]));
  }
  absl::StatusOr<std::vector<TensorId>> outputs =
      builder.Add(op_case.op, op_case.op, result.inputs, op_case.attributes);
  if (!outputs.ok()) return outputs.status();
  result.node = static_cast<NodeId>(result.graph.nodes.size()) - 1;
  return result;
}

TensorSlice Slice(const TensorType& type, Layout layout) {
  TensorSlice slice = HostValue::Whole(type).slice();
  slice.layout = layout;
  return slice;
}

double Largest(const Values& values) {
  double largest = 0;
  for (double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

void ExpectClose(const Values& got, const Values& want, double tolerance,
                 absl::string_view what) {
  ASSERT_EQ(got.size(), want.size()) << std::string(what);
  const double scale = Largest(want);
  const double bound = tolerance * (scale > 0 ? scale : 1.0);
  int wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::abs(got[i] - want[i]) <= bound || got[i] == want[i]) continue;
    if (++wrong > 5) continue;
    ADD_FAILURE() << std::string(what) << ", element " << i << " of "
                  << got.size() << ": got " << got[i] << ", expected "
                  << want[i] << " within " << bound;
  }
  EXPECT_LE(wrong, 5) << std::string(what) << ": " << wrong << " of "
                      << got.size() << " elements are wrong";
}

// Free inputs only; see Rounded().
std::vector<Values> RandomInputs(const OpCase& op_case) {
  std::vector<Values> inputs;
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    const InputDomain domain =
        i < op_case.domains.size() ? op_case.domains[i] : InputDomain();
    inputs.push_back(RandomValues(op_case.inputs[i], domain, i));
  }
  return inputs;
}

// The values as these types hold them; what is derived is so from rounded
// values.
std::vector<Values> Rounded(const OpCase& op_case,
                            const std::vector<TensorType>& types,
                            std::vector<Values> inputs) {
  auto round = [&] {
    for (size_t i = 0; i < types.size(); ++i) {
      HostValue value = HostValue::Whole(types[i]);
      value.FromDoubles(inputs[i]);
      inputs[i] = value.ToDoubles();
    }
  };
  round();
  if (op_case.derive_inputs) {
    op_case.derive_inputs(&inputs);
    round();
  }
  return inputs;
}

struct Layouts {
  std::vector<Layout> inputs;
  std::vector<Layout> outputs;
  friend bool operator<(const Layouts& a, const Layouts& b) {
    return std::tie(a.inputs, a.outputs) < std::tie(b.inputs, b.outputs);
  }
};

bool MayBe(const std::vector<int>& listed, size_t operand, const OpDef& def,
           bool is_input) {
  const int last = static_cast<int>(def.inputs.size()) - 1;
  const int index = is_input && def.variadic
                        ? std::min(static_cast<int>(operand), last)
                        : static_cast<int>(operand);
  return std::find(listed.begin(), listed.end(), index) != listed.end();
}

// Kernels that an op is tested with, and the layouts that they know besides
// row-major.
struct TestedKernels {
  const KernelLibrary* library = nullptr;
  std::vector<Layout> layouts;
};

std::vector<TestedKernels> KernelsToTest(absl::string_view op) {
  std::vector<TestedKernels> tested;
  for (const KernelLibrary* library : LibrariesToTest(op)) {
    if (library == &CpuKernels()) {
      tested.push_back({library, {Layout::kBlocked8, Layout::kBlocked16}});
    } else {
      tested.push_back({library, {Layout::kChannelsLast}});
    }
  }
  return tested;
}

// All combinations of layouts to try, the first of them all row-major.
std::vector<Layouts> LayoutsToTry(const OpDef& def,
                                  const std::vector<Layout>& known,
                                  const std::vector<TensorType>& inputs,
                                  const std::vector<TensorType>& outputs) {
  Layouts row_major;
  row_major.inputs.assign(inputs.size(), Layout::kRowMajor);
  row_major.outputs.assign(outputs.size(), Layout::kRowMajor);
  std::vector<Layouts> result = {row_major};
  std::set<Layouts> seen = {row_major};
  for (Layout layout : known) {
    // Inputs blocked, outputs blocked, both.
    for (int choice : {3, 1, 2}) {
      if (def.layout.same && choice != 3) continue;
      Layouts layouts = row_major;
      bool all_fit = true;
      auto block = [&](const std::vector<TensorType>& types,
                       const std::vector<int>& listed, bool is_input,
                       std::vector<Layout>* chosen) {
        for (size_t i = 0; i < types.size(); ++i) {
          if (types[i].shape.rank() != 4) continue;
          if (!MayBe(listed, i, def, is_input)) continue;
          if (types[i].shape[1] % ChannelBlock(layout) == 0) {
            (*chosen)[i] = layout;
          } else {
            all_fit = false;
          }
        }
      };
      if (choice & 1) block(inputs, def.layout.inputs, true, &layouts.inputs);
      if (choice & 2) {
        block(outputs, def.layout.outputs, false, &layouts.outputs);
      }
      if (def.layout.same && !all_fit) continue;
      if (seen.insert(layouts).second) result.push_back(layouts);
    }
  }
  return result;
}

std::string Describe(const KernelLibrary& kernels, const OpCase& op_case,
                     const std::vector<TensorType>& types,
                     const Layouts& layouts) {
  std::string text = absl::StrCat(kernels.device_kind, " ", op_case.op, "(");
  for (size_t i = 0; i < types.size(); ++i) {
    absl::StrAppend(&text, i > 0 ? ", " : "", types[i].ToString());
    if (layouts.inputs[i] != Layout::kRowMajor) {
      absl::StrAppend(&text, " ", LayoutName(layouts.inputs[i]));
    }
  }
  absl::StrAppend(&text, ")");
  for (Layout layout : layouts.outputs) {
    absl::StrAppend(&text, " -> ", LayoutName(layout));
  }
  return text;
}

// The type that the kernel rounds an output to.
DataType RoundedTo(const KernelDef& kernel,
                   const std::vector<TensorType>& inputs, DataType output) {
  if (!kernel.rounds_to_inputs) return output;
  auto is_half = [](const TensorType& type) {
    return IsFloating(type.dtype) && type.dtype != DataType::kFloat32;
  };
  const auto half = std::find_if(inputs.begin(), inputs.end(), is_half);
  return half == inputs.end() ? output : half->dtype;
}

double ToleranceOf(DataType dtype, double float_tolerance) {
  switch (dtype) {
    case DataType::kFloat16:
      return std::max(float_tolerance, 0x1p-9);
    case DataType::kBFloat16:
      return std::max(float_tolerance, 0x1p-6);
    default:
      return float_tolerance;
  }
}

// What the attributes may be for this kernel.
std::vector<Attributes> WaysToTry(const OpCase& op_case,
                                  const KernelDef& kernel,
                                  const Attributes& attributes,
                                  const std::vector<HostValue>& inputs,
                                  const std::vector<TensorSlice>& outputs) {
  std::vector<Attributes> ways = {attributes};
  if (!op_case.every_alternative || kernel.alternatives == nullptr) return ways;
  KernelSpec spec;
  spec.attributes = attributes;
  for (const HostValue& input : inputs) spec.inputs.push_back(input.slice());
  spec.outputs = outputs;
  for (Attributes& way : kernel.alternatives(spec)) {
    ways.push_back(std::move(way));
  }
  return ways;
}

void Compare(const KernelDef& kernel, const OpDef& def, const OpCase& op_case,
             const std::vector<TensorType>& types,
             const std::vector<HostValue>& inputs,
             const std::vector<HostValue>& outputs,
             const std::vector<Values>& want) {
  std::vector<int> mutated;
  for (int m : def.mutates) {
    if (m < static_cast<int>(inputs.size())) mutated.push_back(m);
  }
  ASSERT_EQ(want.size(), outputs.size() + mutated.size())
      << "the reference must give the outputs, then the mutated inputs";
  for (size_t o = 0; o < outputs.size(); ++o) {
    const DataType rounded_to =
        RoundedTo(kernel, types, outputs[o].slice().dtype);
    ExpectClose(outputs[o].ToDoubles(), want[o],
                ToleranceOf(rounded_to, op_case.tolerance),
                absl::StrCat("output ", o));
  }
  for (size_t m = 0; m < mutated.size(); ++m) {
    const HostValue& value = inputs[mutated[m]];
    ExpectClose(value.ToDoubles(), want[outputs.size() + m],
                ToleranceOf(value.slice().dtype, op_case.tolerance),
                absl::StrCat("mutated input ", mutated[m]));
  }
}

void CompareOnce(const KernelLibrary& kernels, const OpDef& def,
                 const OpCase& op_case, const Reference& reference,
                 const Application& application,
                 const std::vector<TensorType>& types,
                 const std::vector<Values>& random, const Layouts& layouts) {
  const std::vector<Values> rounded = Rounded(op_case, types, random);
  std::vector<HostValue> inputs;
  for (size_t i = 0; i < types.size(); ++i) {
    inputs.emplace_back(Slice(types[i], layouts.inputs[i]));
    inputs.back().FromDoubles(rounded[i]);
  }
  const Node& node = application.op_node();
  std::vector<TensorSlice> slices;
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    slices.push_back(
        Slice(application.type(node.outputs[o]), layouts.outputs[o]));
  }
  for (const Attributes& way : WaysToTry(op_case, *kernels.find(def.name),
                                         node.attributes, inputs, slices)) {
    SCOPED_TRACE(way.Has("algorithm") ? way.String("algorithm") : "");
    const auto outputs = RunOp(def, way, inputs, slices, RunOptions(), kernels);
    const bool may_lack_it = &kernels != &CpuKernels() && !CudaIsEmulated();
    if (op_case.every_alternative && may_lack_it &&
        absl::IsUnimplemented(outputs.status())) {
      continue;
    }
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    Compare(*kernels.find(def.name), def, op_case, types, inputs, *outputs,
            reference(node.attributes, types, rounded));
  }
}

// sum(weights * outputs) of the reference, floating outputs only.
double WeightedSum(const std::vector<Values>& outputs,
                   const std::vector<Values>& weights) {
  double sum = 0;
  for (size_t o = 0; o < weights.size(); ++o) {
    for (size_t i = 0; i < weights[o].size(); ++i) {
      sum += weights[o][i] * outputs[o][i];
    }
  }
  return sum;
}

}  // namespace

std::vector<const KernelLibrary*> LibrariesToTest(absl::string_view op) {
  std::vector<const KernelLibrary*> libraries = {&CpuKernels()};
  const KernelLibrary& cuda = CudaKernelsOnHost();
  if (cuda.find(op) != nullptr && CudaUnavailable().empty()) {
    libraries.push_back(&cuda);
  }
  return libraries;
}

namespace {

// See InputDomain::ascending.
void MakeAscending(const InputDomain& domain, const Shape& shape,
                   Values* values) {
  const int64_t width = shape[shape.rank() - 1];
  for (size_t line = 0; line < values->size(); line += width) {
    const std::set<double> distinct(values->begin() + line,
                                    values->begin() + line + width);
    auto to = values->begin() + line;
    for (double value : distinct) {
      if (value >= domain.low) *to++ = value;
    }
    std::fill(to, values->begin() + line + width, -1.0);
  }
}

}  // namespace

Values RandomValues(const TensorType& type, const InputDomain& domain,
                    int64_t seed) {
  // SplitMix64, a counter-based generator.
  Values values(type.shape.num_elements());
  uint64_t state = 0x5851F42D4C957F2Du * static_cast<uint64_t>(seed + 1);
  for (double& value : values) {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    const double uniform = static_cast<double>(z >> 11) * 0x1p-53;
    const double high = !IsFloating(type.dtype)
                            ? std::max(domain.high, domain.low + 1)
                            : domain.high;
    value = domain.low + uniform * (high - domain.low);
    if (!IsFloating(type.dtype)) value = std::floor(value);
  }
  if (domain.ascending) MakeAscending(domain, type.shape, &values);
  return values;
}

void ExpectMatchesReference(const OpCase& op_case, const Reference& reference) {
  const OpDef* def = FindOp(op_case.op);
  ASSERT_NE(def, nullptr) << op_case.op << " is not in ops/op_list.bzl";
  const std::vector<Values> random = RandomInputs(op_case);
  std::set<std::vector<DataType>> done;
  for (DataType dtype :
       {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16}) {
    const std::vector<TensorType> types = WithHalf(*def, op_case.inputs, dtype);
    std::vector<DataType> dtypes;
    for (const TensorType& type : types) dtypes.push_back(type.dtype);
    if (!done.insert(dtypes).second) continue;
    const absl::StatusOr<Application> application = Apply(op_case, types);
    ASSERT_TRUE(application.ok()) << application.status();
    std::vector<TensorType> outputs;
    for (TensorId t : application->op_node().outputs) {
      outputs.push_back(application->type(t));
    }
    for (const TestedKernels& kernels : KernelsToTest(op_case.op)) {
      for (const Layouts& layouts :
           LayoutsToTry(*def, kernels.layouts, types, outputs)) {
        SCOPED_TRACE(Describe(*kernels.library, op_case, types, layouts));
        CompareOnce(*kernels.library, *def, op_case, reference, *application,
                    types, random, layouts);
      }
    }
  }
}

void ExpectGradientMatches(const OpCase& op_case, const Reference& reference,
                           std::vector<int> differentiable_inputs,
                           double tolerance) {
  SCOPED_TRACE(absl::StrCat("gradient of ", op_case.op));
  const OpDef* def = FindOp(op_case.op);
  ASSERT_NE(def, nullptr) << op_case.op << " is not in ops/op_list.bzl";
  ASSERT_TRUE(def->gradient != nullptr) << op_case.op << " has no gradient";
  absl::StatusOr<Application> application = Apply(op_case, op_case.inputs);
  ASSERT_TRUE(application.ok()) << application.status();
  Graph& graph = application->graph;
  const Node node = application->op_node();
  if (differentiable_inputs.empty()) {
    for (size_t i = 0; i < op_case.inputs.size(); ++i) {
      if (IsFloating(op_case.inputs[i].dtype)) {
        differentiable_inputs.push_back(static_cast<int>(i));
      }
    }
  }

  // The loss is sum(weights * outputs): the outputs' gradients are the weights.
  GraphBuilder builder(&graph, FindOpOrGiven);
  std::vector<Values> weights;
  std::vector<TensorId> output_gradients;
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    const TensorType type = builder.type(node.outputs[o]);
    if (!IsFloating(type.dtype)) {
      weights.emplace_back();
      output_gradients.push_back(kNone);
      continue;
    }
    weights.push_back(RandomValues(type, InputDomain(), 1000 + o));
    output_gradients.push_back(
        AddGiven(&builder, absl::StrCat("output_gradient", o), type));
  }
  GradientContext context(&builder, application->node, output_gradients);
  const absl::Status status = def->gradient(&context);
  ASSERT_TRUE(status.ok()) << status;
  const absl::Status verified = VerifyGraph(graph, FindOpOrGiven);
  ASSERT_TRUE(verified.ok()) << verified;

  const std::vector<Values> inputs =
      Rounded(op_case, op_case.inputs, RandomInputs(op_case));
  absl::StatusOr<Interpreter> interpreter =
      Interpreter::Create(&graph, FindOpOrGiven, &CpuKernels(), RunOptions());
  ASSERT_TRUE(interpreter.ok()) << interpreter.status();
  auto set = [&](TensorId tensor, const Values& values) {
    HostValue value = HostValue::Whole(builder.type(tensor));
    value.FromDoubles(values);
    interpreter->Set(tensor, value);
    return value.ToDoubles();
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    set(application->inputs[i], inputs[i]);
  }
  for (size_t o = 0; o < output_gradients.size(); ++o) {
    if (output_gradients[o] != kNone) {
      weights[o] = set(output_gradients[o], weights[o]);
    }
  }
  const absl::Status stepped = interpreter->Step();
  ASSERT_TRUE(stepped.ok()) << stepped;

  for (int i : differentiable_inputs) {
    ASSERT_NE(context.input_gradient(i), kNone)
        << "no gradient for input " << i;
    Values central(inputs[i].size());
    for (size_t e = 0; e < central.size(); ++e) {
      const double h = 1e-5 * std::max(1.0, std::abs(inputs[i][e]));
      auto loss_at = [&](double change) {
        std::vector<Values> moved = inputs;
        moved[i][e] += change;
        if (op_case.derive_inputs) op_case.derive_inputs(&moved);
        return WeightedSum(reference(node.attributes, op_case.inputs, moved),
                           weights);
      };
      central[e] = (loss_at(h) - loss_at(-h)) / (2 * h);
    }
    ExpectClose(interpreter->value(context.input_gradient(i)).ToDoubles(),
                central, tolerance, absl::StrCat("gradient by input ", i));
  }
}

}  // namespace facet::ops
