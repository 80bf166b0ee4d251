#include "ops/testing/interpreter.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/graph/every.h"
#include "ops/half.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int64_t kAlignment = 64;
// Fresh memory: NaN as any floating type, -1 as an integer. A kernel that
// reads what it did not write shows.
constexpr int kGarbage = 0xFF;
// Behind every buffer, so that a kernel that writes too far shows.
constexpr int kGuard = 0xA5;
constexpr int64_t kGuardBytes = 64;

std::shared_ptr<void> Allocate(int64_t size_bytes) {
  const int64_t total =
      (size_bytes + kGuardBytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, total);
  CHECK(data != nullptr) << total << " bytes";
  std::memset(data, kGarbage, size_bytes);
  std::memset(static_cast<char*>(data) + size_bytes, kGuard, kGuardBytes);
  return std::shared_ptr<void>(data, std::free);
}

bool GuardIsIntact(const void* data, int64_t size_bytes) {
  const auto* guard = static_cast<const unsigned char*>(data) + size_bytes;
  return std::all_of(guard, guard + kGuardBytes,
                     [](unsigned char byte) { return byte == kGuard; });
}

// Calls f(row_major_index, memory_index) for every element.
template <typename F>
void ForEachElement(const TensorSlice& slice, const F& f) {
  const Shape& shape = slice.shape;
  if (slice.layout == Layout::kRowMajor) {
    const int64_t count = shape.num_elements();
    for (int64_t i = 0; i < count; ++i) f(i, i);
    return;
  }
  CHECK_EQ(shape.rank(), 4)
      << std::string(LayoutName(slice.layout)) << " " << shape.ToString();
  const int64_t block = slice.layout == Layout::kChannelsLast
                            ? std::max<int64_t>(1, shape[1])
                            : ChannelBlock(slice.layout);
  CHECK_EQ(shape[1] % block, 0)
      << std::string(LayoutName(slice.layout)) << " " << shape.ToString();
  const int64_t positions = shape[2] * shape[3];
  int64_t i = 0;
  for (int64_t n = 0; n < shape[0]; ++n) {
    for (int64_t c = 0; c < shape[1]; ++c) {
      const int64_t start =
          (n * (shape[1] / block) + c / block) * positions * block + c % block;
      for (int64_t p = 0; p < positions; ++p) f(i++, start + p * block);
    }
  }
}

// Calls f(T{}) with the C++ type of any dtype.
template <typename F>
void VisitType(DataType dtype, const F& f) {
  switch (dtype) {
    case DataType::kInt32:
      return f(int32_t{});
    case DataType::kInt64:
      return f(int64_t{});
    default:
      return VisitFloating(dtype, f);
  }
}

// A number in [0, 1) that depends on both.
double Hash01(uint64_t element, uint64_t rank) {
  uint64_t z = (element * 64 + rank + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

double Round(DataType dtype, double value) {
  double rounded = 0;
  VisitType(dtype, [&](auto zero) {
    using T = decltype(zero);
    rounded = IsFloating(dtype)
                  ? static_cast<double>(T(static_cast<float>(value)))
                  : std::round(value);
  });
  return rounded;
}

double LargestFinite(const std::vector<double>& values) {
  double largest = 0;
  for (double value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest;
}

// Shares that add up to `values` up to one rounding, and differ by rank: some
// of each value, and noise that cancels.
std::vector<double> PartialSumShare(const std::vector<double>& values,
                                    DataType dtype, int k, int rank) {
  const double noise = std::max(1.0, LargestFinite(values)) / 4;
  std::vector<double> share(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      share[i] = rank == static_cast<int>(i % k) ? values[i] : 0;
      continue;
    }
    double rest = values[i];
    for (int r = 0; r < k - 1; ++r) {
      const double part =
          Round(dtype, values[i] / k + (2 * Hash01(i, r) - 1) * noise);
      if (r == rank) share[i] = part;
      rest -= part;
    }
    if (rank == k - 1) share[i] = rest;
  }
  return share;
}

// The value on one rank, something smaller on the others.
std::vector<double> PartialMaxShare(const std::vector<double>& values,
                                    DataType dtype, int k, int rank) {
  const double scale = std::max(1.0, LargestFinite(values));
  std::vector<double> share = values;
  for (size_t i = 0; i < values.size(); ++i) {
    const int holder = static_cast<int>(Hash01(i, 63) * k);
    if (rank == holder || !std::isfinite(values[i])) continue;
    const double less = (0.1 + Hash01(i, rank)) * scale;
    share[i] -= IsFloating(dtype) ? less : std::ceil(less);
  }
  return share;
}

// Copies the box of `region` of row-major values [shape], or, if `to_box` is
// false, writes it back.
template <typename Whole, typename Box>
void CopyBox(const Region& region, const Shape& shape, bool to_box,
             Whole* whole, Box* box) {
  const int rank = shape.rank();
  const int64_t count = region.shape.num_elements();
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, stride = 1, index = 0;
    for (int d = rank - 1; d >= 0; --d) {
      index += (rest % region.shape[d] + region.offset[d]) * stride;
      rest /= region.shape[d];
      stride *= shape[d];
    }
    if constexpr (!std::is_const_v<Box>) {
      if (to_box) (*box)[i] = (*whole)[index];
    }
    if constexpr (!std::is_const_v<Whole>) {
      if (!to_box) (*whole)[index] = (*box)[i];
    }
  }
}

absl::Status CheckEqualBits(const std::vector<HostValue>& shares) {
  for (size_t r = 1; r < shares.size(); ++r) {
    if (SameBits(shares[0], shares[r])) continue;
    const std::vector<double> a = shares[0].ToDoubles();
    const std::vector<double> b = shares[r].ToDoubles();
    CHECK_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i]) continue;
      return absl::InternalError(
          absl::StrCat("broadcast value differs by rank: element ", i, " is ",
                       a[i], " on rank 0, ", b[i], " on rank ", r));
    }
    return absl::InternalError(absl::StrCat(
        "broadcast value of rank ", r, " differs from rank 0's in the bits"));
  }
  return absl::OkStatus();
}

Attributes WithDefaults(const OpDef& def, Attributes attributes) {
  for (const AttributeSpec& spec : def.attributes) {
    if (!attributes.Has(spec.name)) attributes.Set(spec.name, spec.initial);
  }
  return attributes;
}

bool Contains(const std::vector<int>& list, int value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

bool SameBits(const HostValue& a, const HostValue& b) {
  return a.slice().size_bytes() == b.slice().size_bytes() &&
         std::memcmp(a.view().data, b.view().data, a.slice().size_bytes()) == 0;
}

HostValue::HostValue(TensorSlice slice)
    : slice_(std::move(slice)), data_(Allocate(slice_.size_bytes())) {}

HostValue HostValue::Whole(const TensorType& type) {
  const Region whole = WholeRegion(type.shape);
  return HostValue(
      {type.dtype, Layout::kRowMajor, whole.shape, type.shape, whole.offset});
}

HostValue HostValue::Alias(TensorSlice slice) const {
  CHECK_EQ(slice.size_bytes(), slice_.size_bytes());
  HostValue alias;
  alias.slice_ = std::move(slice);
  alias.data_ = data_;
  return alias;
}

HostValue HostValue::Copy() const {
  HostValue copy(slice_);
  std::memcpy(copy.data_.get(), data_.get(), slice_.size_bytes());
  return copy;
}

TensorView HostValue::view() const { return {slice_, data_.get()}; }

std::vector<double> HostValue::ToDoubles() const {
  std::vector<double> values(slice_.num_elements());
  VisitType(slice_.dtype, [&](auto zero) {
    const auto* data = as<decltype(zero)>();
    ForEachElement(slice_, [&](int64_t i, int64_t in_memory) {
      values[i] = static_cast<double>(data[in_memory]);
    });
  });
  return values;
}

void HostValue::FromDoubles(const std::vector<double>& values) {
  CHECK_EQ(static_cast<int64_t>(values.size()), slice_.num_elements());
  VisitType(slice_.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* data = as<T>();
    ForEachElement(slice_, [&](int64_t i, int64_t in_memory) {
      if constexpr (std::is_integral_v<T>) {
        data[in_memory] = static_cast<T>(std::llround(values[i]));
      } else {
        data[in_memory] = T(static_cast<float>(values[i]));
      }
    });
  });
}

HostValue TakeShare(const HostValue& whole, const Sbp& sbp, int k, int rank) {
  const TensorSlice& from = whole.slice();
  CHECK(from.shape == from.global_shape)
      << "a share of a share of " << from.global_shape.ToString();
  const Region region = LocalRegion(from.global_shape, sbp, k, rank);
  HostValue share({from.dtype, from.layout, region.shape, from.global_shape,
                   region.offset});
  const std::vector<double> values = whole.ToDoubles();
  switch (sbp.kind) {
    case Sbp::Kind::kBroadcast:
      share.FromDoubles(values);
      break;
    case Sbp::Kind::kPartialSum:
      share.FromDoubles(PartialSumShare(values, from.dtype, k, rank));
      break;
    case Sbp::Kind::kPartialMax:
      share.FromDoubles(PartialMaxShare(values, from.dtype, k, rank));
      break;
    case Sbp::Kind::kSplit: {
      std::vector<double> box(region.shape.num_elements());
      CopyBox(region, from.global_shape, /*to_box=*/true, &values, &box);
      share.FromDoubles(box);
      break;
    }
  }
  return share;
}

absl::StatusOr<HostValue> JoinShares(const std::vector<HostValue>& shares,
                                     const Sbp& sbp) {
  CHECK(!shares.empty());
  const TensorSlice& first = shares[0].slice();
  HostValue whole({first.dtype, first.layout, first.global_shape,
                   first.global_shape, WholeRegion(first.global_shape).offset});
  if (sbp.is_broadcast()) {
    RETURN_IF_ERROR(CheckEqualBits(shares));
    return shares[0].Copy();
  }
  std::vector<double> values(whole.slice().num_elements(),
                             sbp.kind == Sbp::Kind::kPartialMax
                                 ? -std::numeric_limits<double>::infinity()
                                 : 0.0);
  int64_t covered = 0;
  for (const HostValue& share : shares) {
    const std::vector<double> part = share.ToDoubles();
    covered += static_cast<int64_t>(part.size());
    if (sbp.is_split()) {
      const TensorSlice& slice = share.slice();
      CopyBox(Region{slice.offset, slice.shape}, slice.global_shape,
              /*to_box=*/false, &values, &part);
      continue;
    }
    CHECK_EQ(part.size(), values.size());
    for (size_t i = 0; i < part.size(); ++i) {
      if (sbp.kind == Sbp::Kind::kPartialSum || std::isnan(part[i])) {
        values[i] += part[i];
      } else {
        values[i] = std::max(values[i], part[i]);
      }
    }
  }
  if (sbp.is_split()) {
    CHECK_EQ(covered, whole.slice().num_elements())
        << "the shares of " << first.global_shape.ToString()
        << " do not cover it";
  }
  whole.FromDoubles(values);
  return whole;
}

absl::StatusOr<std::vector<HostValue>> RunOp(
    const OpDef& def, const Attributes& attributes,
    const std::vector<HostValue>& inputs,
    const std::vector<TensorSlice>& outputs, const RunOptions& options,
    const KernelLibrary& kernels) {
  const KernelDef* kernel_def = kernels.find(def.name);
  if (kernel_def == nullptr || kernel_def->create == nullptr) {
    return absl::NotFoundError(absl::StrCat("op ", def.name, " has no ",
                                            kernels.device_kind, " kernel"));
  }
  KernelSpec spec;
  spec.attributes = WithDefaults(def, attributes);
  spec.outputs = outputs;
  spec.rank = options.rank;
  spec.num_ranks = options.num_ranks;
  std::vector<TensorView> input_views;
  for (const HostValue& input : inputs) {
    spec.inputs.push_back(input.slice());
    input_views.push_back(input.view());
  }
  std::vector<HostValue> results;
  std::vector<TensorView> output_views;
  std::vector<int> may_write = def.mutates;
  for (size_t o = 0; o < outputs.size(); ++o) {
    auto pair = std::find_if(
        options.in_place.begin(), options.in_place.end(),
        [&](const InPlacePair& p) { return p.output == static_cast<int>(o); });
    if (pair == options.in_place.end()) {
      results.emplace_back(outputs[o]);
    } else {
      results.push_back(inputs[pair->input].Alias(outputs[o]));
      may_write.push_back(pair->input);
    }
    output_views.push_back(results.back().view());
  }
  // What the kernel must leave alone.
  std::vector<std::pair<int, HostValue>> before;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int index = static_cast<int>(i);
    if (!Contains(may_write, index)) {
      before.emplace_back(index, inputs[i].Copy());
    }
  }

  int64_t workspace_bytes = 0;
  if (kernel_def->workspace_bytes) {
    ASSIGN_OR_RETURN(workspace_bytes, kernel_def->workspace_bytes(spec));
  }
  const std::shared_ptr<void> workspace = Allocate(workspace_bytes);
  ASSIGN_OR_RETURN(Kernel kernel, kernel_def->create(spec));
  KernelContext context;
  context.inputs = input_views;
  context.outputs = output_views;
  context.workspace = workspace.get();
  context.step = options.step;
  context.seed = options.seed;
  context.data_source = options.data_source;
  context.fetch_sink = options.fetch_sink;
  RETURN_IF_ERROR(kernel(context));

  auto error = [&](auto&&... parts) {
    return absl::InternalError(absl::StrCat(
        "the ", kernels.device_kind, " kernel of ", def.name, " ", parts...));
  };
  if (!GuardIsIntact(workspace.get(), workspace_bytes)) {
    return error("wrote past its workspace of ", workspace_bytes, " bytes");
  }
  for (size_t o = 0; o < results.size(); ++o) {
    if (!GuardIsIntact(output_views[o].data, outputs[o].size_bytes())) {
      return error("wrote past output ", o, ", ", outputs[o].shape.ToString());
    }
  }
  for (const auto& [index, value] : before) {
    if (!SameBits(value, inputs[index])) {
      return error("changed input ", index, ", which it does not mutate");
    }
  }
  for (int m : def.mutates) {
    if (m < static_cast<int>(inputs.size()) &&
        !GuardIsIntact(input_views[m].data, spec.inputs[m].size_bytes())) {
      return error("wrote past mutated input ", m);
    }
  }
  return results;
}

absl::StatusOr<Interpreter> Interpreter::Create(const Graph* graph,
                                                OpLookup lookup,
                                                const KernelLibrary* kernels,
                                                const RunOptions& options) {
  Interpreter interpreter;
  interpreter.graph_ = graph;
  interpreter.lookup_ = lookup;
  interpreter.kernels_ = kernels;
  interpreter.options_ = options;
  interpreter.values_.resize(graph->tensors.size());
  interpreter.overridden_.resize(graph->tensors.size(), false);
  RunOptions initial = options;
  initial.step = -1;
  for (const Node& node : graph->nodes) {
    const OpDef* def = lookup(node.op);
    if (def == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(node.name, ": unknown op \"", node.op, "\""));
    }
    if (def->is_variable) {
      RETURN_IF_ERROR(interpreter.Run(node, *def, initial, nullptr));
    }
  }
  return interpreter;
}

void Interpreter::Set(TensorId tensor, HostValue value) {
  const Tensor& info = graph_->tensors[tensor];
  CHECK(value.slice().dtype == info.type.dtype &&
        value.slice().shape == info.type.shape)
      << info.name << " is " << info.type.ToString() << ", not "
      << value.slice().shape.ToString();
  values_[tensor] = std::move(value);
  overridden_[tensor] = true;
}

absl::Status Interpreter::Step() {
  Updates updates;
  for (const Node& node : graph_->nodes) {
    const OpDef* def = lookup_(node.op);
    if (def->is_variable) continue;
    if (!EndsRound(node.origin.every, options_.step)) continue;
    const bool given = !node.outputs.empty() &&
                       std::all_of(node.outputs.begin(), node.outputs.end(),
                                   [&](TensorId t) { return overridden_[t]; });
    if (given) continue;
    RETURN_IF_ERROR(Run(node, *def, options_, &updates));
  }
  for (auto& [tensor, value] : updates) values_[tensor] = std::move(value);
  ++options_.step;
  return absl::OkStatus();
}

absl::Status Interpreter::Run(const Node& node, const OpDef& def,
                              const RunOptions& options, Updates* updates) {
  std::vector<HostValue> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const TensorId tensor = node.inputs[i];
    inputs.push_back(values_[tensor]);
    if (Contains(def.mutates, static_cast<int>(i))) {
      // Everybody else reads the value of the beginning of the step.
      inputs.back() = values_[tensor].Copy();
      (*updates)[tensor] = inputs.back();
    }
  }
  std::vector<TensorSlice> slices;
  for (TensorId tensor : node.outputs) {
    const TensorType& type = graph_->tensors[tensor].type;
    const Region whole = WholeRegion(type.shape);
    slices.push_back({type.dtype, Layout::kRowMajor, whole.shape, whole.shape,
                      whole.offset});
  }
  absl::StatusOr<std::vector<HostValue>> outputs =
      RunOp(def, node.attributes, inputs, slices, options, *kernels_);
  if (!outputs.ok()) {
    return absl::Status(
        outputs.status().code(),
        absl::StrCat(node.name, ": ", outputs.status().message()));
  }
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    const TensorId tensor = node.outputs[o];
    if (!overridden_[tensor]) values_[tensor] = std::move((*outputs)[o]);
  }
  return absl::OkStatus();
}

}  // namespace facet::ops
