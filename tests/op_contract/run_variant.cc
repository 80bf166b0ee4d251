#include "tests/op_contract/run_variant.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/data_source.h"
#include "ops/fetch_sink.h"
#include "ops/status_macros.h"
#include "ops/testing/mesh_shares.h"

namespace facet::tests {
namespace {

using ops::HostValue;
using ops::NdSbp;
using ops::SameBits;

// Any step but the first, so that its number can matter.
constexpr int64_t kStep = 3;
constexpr int64_t kSeed = 17;

// Pixel and label are functions of step and index alone, as the interface asks.
class CountingDataSource : public ops::DataSource {
 public:
  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    constexpr int64_t kPixels = 3 * 112 * 112;
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t p = 0; p < kPixels; ++p) {
        *images++ = static_cast<float>((step * 5 + i * 31 + p) % 255) / 255;
      }
      *labels++ = static_cast<int32_t>(step * 1000 + i);
    }
    return absl::OkStatus();
  }
};

// Keeps a copy of what each rank reports.
class RecordingFetchSink : public ops::FetchSink {
 public:
  absl::Status OnFetch(int64_t, absl::string_view name, int rank,
                       const ops::TensorView& value) override {
    HostValue copy(value.slice);
    std::memcpy(copy.view().data, value.data, value.slice.size_bytes());
    auto [it, is_new] =
        received_[std::string(name)].emplace(rank, std::move(copy));
    if (!is_new) {
      return absl::InternalError(
          absl::StrCat("rank ", rank, " fetched ", name, " twice"));
    }
    return absl::OkStatus();
  }

  // By name, by rank.
  const std::map<std::string, std::map<int, HostValue>>& received() const {
    return received_;
  }

 private:
  std::map<std::string, std::map<int, HostValue>> received_;
};

ops::RunOptions Options(const ops::OpDef& def, ops::DataSource* source,
                        ops::FetchSink* sink) {
  ops::RunOptions options;
  options.step = def.is_variable ? -1 : kStep;
  options.seed = kSeed;
  options.data_source = source;
  options.fetch_sink = sink;
  return options;
}

double LargestOf(const HostValue& value) {
  double largest = 0;
  for (double v : value.ToDoubles()) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  }
  return largest;
}

absl::Status Join(const std::string& name, const std::vector<HostValue>& shares,
                  const NdSbp& sbp, const ops::Mesh& mesh, Results* results) {
  absl::StatusOr<HostValue> whole = ops::JoinMeshShares(shares, sbp, mesh);
  if (!whole.ok()) {
    return absl::Status(whole.status().code(),
                        absl::StrCat(name, ": ", whole.status().message()));
  }
  if (sbp.any_partial()) {
    for (const HostValue& share : shares) {
      results->largest_partial =
          std::max(results->largest_partial, LargestOf(share));
    }
  }
  results->values[name] = *std::move(whole);
  return absl::OkStatus();
}

// A split value must come from all ranks, a broadcast one from rank 0 alone.
absl::Status JoinFetched(const RecordingFetchSink& sink, const NdSbp& sbp,
                         const ops::Mesh& mesh, Results* results) {
  for (const auto& [name, by_rank] : sink.received()) {
    std::vector<HostValue> shares;
    for (const auto& [rank, value] : by_rank) shares.push_back(value);
    const int expected = sbp.any_split() ? mesh.num_devices() : 1;
    if (static_cast<int>(shares.size()) != expected || by_rank.count(0) == 0) {
      return absl::InternalError(absl::StrCat(
          "fetched ", name, " from ", shares.size(), " ranks, the first is ",
          by_rank.begin()->first, "; expected ", expected,
          ", the first 0, for a value that is ", sbp.ToString()));
    }
    if (expected == 1) {
      results->values["fetched " + name] = shares[0];
      continue;
    }
    RETURN_IF_ERROR(Join("fetched " + name, shares, sbp, mesh, results));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Results> RunWhole(const ops::OpDef& def, const Variant& variant,
                                 const std::vector<ops::InPlacePair>& in_place,
                                 const ops::KernelLibrary& kernels) {
  CountingDataSource source;
  RecordingFetchSink sink;
  ops::RunOptions options = Options(def, &source, &sink);
  options.in_place = in_place;
  const std::vector<HostValue> inputs = MakeInputs(variant);
  std::vector<ops::TensorSlice> slices;
  for (const ops::TensorType& type : variant.outputs) {
    slices.push_back(WholeSlice(type));
  }
  ASSIGN_OR_RETURN(
      const std::vector<HostValue> outputs,
      ops::RunOp(def, variant.attributes, inputs, slices, options, kernels));
  Results results;
  for (size_t o = 0; o < outputs.size(); ++o) {
    results.values[absl::StrCat("output ", o)] = outputs[o];
  }
  for (int m : def.mutates) {
    if (m >= static_cast<int>(inputs.size())) continue;
    results.values[absl::StrCat("mutated input ", m)] = inputs[m];
  }
  RETURN_IF_ERROR(JoinFetched(sink, ops::Sbp::B(), ops::Mesh{{1}}, &results));
  return results;
}

absl::StatusOr<Results> RunSharded(const ops::OpDef& def,
                                   const Variant& variant,
                                   const ops::NdSignature& signature,
                                   const ops::Mesh& mesh,
                                   const ops::KernelLibrary& kernels) {
  CountingDataSource source;
  RecordingFetchSink sink;
  const std::vector<HostValue> whole = MakeInputs(variant);
  // By operand, by rank.
  std::vector<std::vector<HostValue>> inputs(variant.inputs.size());
  std::vector<std::vector<HostValue>> outputs(variant.outputs.size());
  Results results;
  for (int rank = 0; rank < mesh.num_devices(); ++rank) {
    std::vector<HostValue> shares;
    for (size_t i = 0; i < whole.size(); ++i) {
      shares.push_back(
          ops::TakeMeshShare(whole[i], signature.inputs[i], mesh, rank));
      inputs[i].push_back(shares.back());
      if (signature.inputs[i].any_partial()) {
        results.largest_partial =
            std::max(results.largest_partial, LargestOf(shares.back()));
      }
    }
    std::vector<ops::TensorSlice> slices;
    for (size_t o = 0; o < variant.outputs.size(); ++o) {
      const ops::TensorType& type = variant.outputs[o];
      const ops::Region region =
          ops::LocalRegion(type.shape, signature.outputs[o], mesh, rank);
      slices.push_back({type.dtype, ops::Layout::kRowMajor, region.shape,
                        type.shape, region.offset});
    }
    ops::RunOptions options = Options(def, &source, &sink);
    options.rank = rank;
    options.num_ranks = mesh.num_devices();
    absl::StatusOr<std::vector<HostValue>> values =
        ops::RunOp(def, variant.attributes, shares, slices, options, kernels);
    if (!values.ok()) {
      return absl::Status(
          values.status().code(),
          absl::StrCat("rank ", rank, ": ", values.status().message()));
    }
    for (size_t o = 0; o < values->size(); ++o) {
      outputs[o].push_back(std::move((*values)[o]));
    }
  }
  for (size_t o = 0; o < outputs.size(); ++o) {
    RETURN_IF_ERROR(Join(absl::StrCat("output ", o), outputs[o],
                         signature.outputs[o], mesh, &results));
  }
  for (int m : def.mutates) {
    if (m >= static_cast<int>(inputs.size())) continue;
    RETURN_IF_ERROR(Join(absl::StrCat("mutated input ", m), inputs[m],
                         signature.inputs[m], mesh, &results));
  }
  if (!sink.received().empty()) {
    RETURN_IF_ERROR(JoinFetched(sink, signature.inputs[0], mesh, &results));
  }
  return results;
}

absl::StatusOr<std::vector<Results>> RunGroup(
    const ops::OpDef& def, const std::vector<Variant>& parts,
    const ops::KernelLibrary& kernels) {
  const ops::KernelDef* kernel_def = kernels.find(def.name);
  if (kernel_def == nullptr) {
    return absl::NotFoundError(absl::StrCat("op ", def.name, " has no kernel"));
  }
  struct Part {
    std::vector<HostValue> inputs, outputs;
    std::vector<ops::TensorView> input_views, output_views;
    HostValue workspace;
  };
  auto is_mutated = [&](int input) {
    return std::count(def.mutates.begin(), def.mutates.end(), input) > 0;
  };
  std::vector<Part> values;
  std::vector<ops::KernelSpec> specs;
  for (const Variant& variant : parts) {
    Part part;
    part.inputs = MakeInputs(variant);
    for (size_t i = 0; i < part.inputs.size(); ++i) {
      if (variant.inputs[i].shape.rank() > 0 || is_mutated(i)) continue;
      for (const Part& earlier : values) {
        if (SameBits(earlier.inputs[i], part.inputs[i])) {
          part.inputs[i] = earlier.inputs[i];
          break;
        }
      }
    }
    ops::KernelSpec spec;
    spec.attributes = variant.attributes;
    for (const HostValue& input : part.inputs) {
      spec.inputs.push_back(input.slice());
      part.input_views.push_back(input.view());
    }
    for (const ops::TensorType& type : variant.outputs) {
      part.outputs.emplace_back(WholeSlice(type));
      spec.outputs.push_back(part.outputs.back().slice());
      part.output_views.push_back(part.outputs.back().view());
    }
    if (kernel_def->workspace_bytes != nullptr) {
      ASSIGN_OR_RETURN(const int64_t bytes, kernel_def->workspace_bytes(spec));
      part.workspace =
          HostValue::Whole({ops::DataType::kFloat32, {(bytes + 3) / 4}});
    }
    specs.push_back(std::move(spec));
    values.push_back(std::move(part));
  }
  std::vector<ops::KernelContext> contexts;
  for (const Part& part : values) {
    ops::KernelContext context;
    context.inputs = part.input_views;
    context.outputs = part.output_views;
    context.workspace = part.workspace.view().data;
    context.step = kStep;
    context.seed = kSeed;
    contexts.push_back(context);
  }
  ASSIGN_OR_RETURN(const ops::GroupKernel kernel,
                   ops::CreateGroupKernel(*kernel_def, specs));
  RETURN_IF_ERROR(kernel(contexts));
  std::vector<Results> results;
  for (const Part& part : values) {
    Results& of_part = results.emplace_back();
    for (size_t o = 0; o < part.outputs.size(); ++o) {
      of_part.values[absl::StrCat("output ", o)] = part.outputs[o];
    }
    for (int m : def.mutates) {
      if (m >= static_cast<int>(part.inputs.size())) continue;
      of_part.values[absl::StrCat("mutated input ", m)] = part.inputs[m];
    }
  }
  return results;
}

}  // namespace facet::tests
