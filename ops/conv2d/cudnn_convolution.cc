#include "ops/conv2d/cudnn_convolution.h"

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/conv2d/cudnn_descriptor.h"
#include "ops/cuda/cudnn_error.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// By which the operands are known when the plan runs.
constexpr int64_t kX = 'x', kW = 'w', kY = 'y', kSum = 's', kSquareSum = 'q';

cudnnDataType_t CudnnType(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat16:
      return CUDNN_DATA_HALF;
    case DataType::kBFloat16:
      return CUDNN_DATA_BFLOAT16;
    default:
      CHECK(dtype == DataType::kFloat32)
          << std::string(DataTypeName(dtype)) << " is not floating";
      return CUDNN_DATA_FLOAT;
  }
}

absl::string_view NameOf(ConvolutionDirection direction) {
  switch (direction) {
    case ConvolutionDirection::kGradInput:
      return "gradient by x of the convolution";
    case ConvolutionDirection::kGradWeight:
      return "gradient by w of the convolution";
    default:
      return "convolution";
  }
}

std::string ToString(const ConvolutionProblem& problem, bool statistics) {
  return absl::StrCat(
      "the ", NameOf(problem.direction), statistics ? " with statistics" : "",
      " of x ", problem.x.shape.ToString(), " with w ",
      problem.w.shape.ToString(), ", stride ", problem.stride, ", padding ",
      problem.padding, ", ", DataTypeName(problem.x.dtype), " ",
      LayoutName(problem.x.layout));
}

// cuDNN's errors do not say which layer it was.
absl::Status Of(const ConvolutionProblem& problem, bool statistics,
                const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(ToString(problem, statistics),
                                                  ": ", status.message()));
}

// Their offsets are ints inside many of cuDNN's engines.
absl::Status ExpectFew(const TensorSlice& slice) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  if (slice.num_elements() <= kMost) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(slice.shape.ToString(), " has ", slice.num_elements(),
                   " elements on one device; cuDNN takes at most ", kMost,
                   ": use a smaller batch per device"));
}

absl::StatusOr<CudnnDescriptor> DescribeTensor(const TensorSlice& slice,
                                               int64_t id) {
  CHECK(slice.layout == Layout::kRowMajor ||
        slice.layout == Layout::kChannelsLast)
      << std::string(LayoutName(slice.layout));
  RETURN_IF_ERROR(ExpectFew(slice));
  ASSIGN_OR_RETURN(CudnnDescriptor tensor,
                   CudnnDescriptor::Make(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
  const Shape& s = slice.shape;
  RETURN_IF_ERROR(tensor.Set<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE,
                                              CUDNN_TYPE_DATA_TYPE,
                                              {CudnnType(slice.dtype)}));
  RETURN_IF_ERROR(
      tensor.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, {s[0], s[1], s[2], s[3]}));
  if (slice.layout == Layout::kRowMajor) {
    RETURN_IF_ERROR(tensor.Set(CUDNN_ATTR_TENSOR_STRIDES,
                               {s[1] * s[2] * s[3], s[2] * s[3], s[3], 1}));
  } else {
    RETURN_IF_ERROR(tensor.Set(CUDNN_ATTR_TENSOR_STRIDES,
                               {s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]}));
  }
  RETURN_IF_ERROR(tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id}));
  // Registers and the parts of a workspace are aligned to 64 bytes.
  RETURN_IF_ERROR(tensor.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {64}));
  RETURN_IF_ERROR(tensor.Finalize());
  return tensor;
}

// What an operation of a direction is called, and what its attributes are.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, alpha, beta, x, w, y;
};

OperationNames NamesOf(ConvolutionDirection direction) {
  switch (direction) {
    case ConvolutionDirection::kGradInput:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case ConvolutionDirection::kGradWeight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
  }
}

absl::StatusOr<CudnnDescriptor> DescribeConvolution(
    const ConvolutionProblem& problem) {
  ASSIGN_OR_RETURN(CudnnDescriptor convolution,
                   CudnnDescriptor::Make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
  RETURN_IF_ERROR(convolution.Set<cudnnDataType_t>(
      CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE,
      {CUDNN_DATA_FLOAT}));
  RETURN_IF_ERROR(convolution.Set<cudnnConvolutionMode_t>(
      CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
      {CUDNN_CROSS_CORRELATION}));
  const int64_t stride = problem.stride, padding = problem.padding;
  RETURN_IF_ERROR(convolution.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {2}));
  RETURN_IF_ERROR(
      convolution.Set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {padding, padding}));
  RETURN_IF_ERROR(convolution.Set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
                                  {padding, padding}));
  RETURN_IF_ERROR(convolution.Set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1}));
  RETURN_IF_ERROR(
      convolution.Set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {stride, stride}));
  RETURN_IF_ERROR(convolution.Finalize());
  return convolution;
}

// What is said against an engine, or "".
absl::StatusOr<std::string> ReasonAgainst(const CudnnDescriptor& config,
                                          bool exact) {
  ASSIGN_OR_RETURN(const CudnnDescriptor engine,
                   CudnnDescriptor::Make(CUDNN_BACKEND_ENGINE_DESCRIPTOR));
  cudnnBackendDescriptor_t handle = engine.get();
  RETURN_IF_ERROR(config
                      .Get(CUDNN_ATTR_ENGINECFG_ENGINE,
                           CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle)
                      .status());
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  ASSIGN_OR_RETURN(
      const int64_t count,
      engine.Get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes));
  for (int64_t i = 0; i < count; ++i) {
    switch (notes[i]) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        return "bits that differ from run to run";
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return "sums of 16 bits";
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return "transforms that lose digits";
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        return "factors rounded to 16 bits";
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        if (exact) return "rounded factors";
        break;
      default:
        break;
    }
  }
  return "";
}

}  // namespace

// Descriptors may refer to those before them.
struct CudnnConvolution::Graph {
  ConvolutionProblem problem;
  bool has_statistics = false;
  CudnnDescriptor x, w, y, sum, square_sum;
  CudnnDescriptor convolution, operation, statistics, graph, config, plan;
  int64_t workspace_bytes = 0;
  std::vector<std::pair<Operands, CudnnDescriptor>> packs;

  absl::Status Describe(const CudnnTarget& target);
  absl::Status Choose(const CudnnTarget& target, int64_t most, int engine);
  absl::Status Execute(cudnnContext* cudnn, const Operands& operands);

 private:
  absl::Status DescribeStatistics();
  // The operands as cuDNN wants them. Addresses are those of the plan, so that
  // a step makes none after the first.
  absl::StatusOr<cudnnBackendDescriptor_t> PackOf(const Operands& operands);

  // Those of a mode, the fastest first, as far as they compute what is wanted;
  // what is said against the others goes to `reasons`.
  absl::StatusOr<std::vector<CudnnDescriptor>> Configs(
      const CudnnTarget& target, cudnnBackendHeurMode_t mode,
      std::string* reasons) const;
  // Makes `plan` of it; what is said against that, or "".
  absl::StatusOr<std::string> TryPlan(const CudnnTarget& target,
                                      const CudnnDescriptor& candidate,
                                      int64_t most);
};

absl::Status CudnnConvolution::Graph::DescribeStatistics() {
  TensorSlice channels;
  channels.shape = {1, problem.w.shape[0], 1, 1};
  channels.layout = problem.y.layout;
  ASSIGN_OR_RETURN(sum, DescribeTensor(channels, kSum));
  ASSIGN_OR_RETURN(square_sum, DescribeTensor(channels, kSquareSum));
  ASSIGN_OR_RETURN(
      statistics,
      CudnnDescriptor::Make(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR));
  RETURN_IF_ERROR(statistics.Set<cudnnGenStatsMode_t>(
      CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE,
      {CUDNN_GENSTATS_SUM_SQSUM}));
  RETURN_IF_ERROR(statistics.Set<cudnnDataType_t>(
      CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE,
      {CUDNN_DATA_FLOAT}));
  RETURN_IF_ERROR(statistics.Set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, y));
  RETURN_IF_ERROR(statistics.Set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum));
  RETURN_IF_ERROR(
      statistics.Set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, square_sum));
  return statistics.Finalize();
}

absl::Status CudnnConvolution::Graph::Describe(const CudnnTarget& target) {
  ASSIGN_OR_RETURN(x, DescribeTensor(problem.x, kX));
  ASSIGN_OR_RETURN(w, DescribeTensor(problem.w, kW));
  ASSIGN_OR_RETURN(y, DescribeTensor(problem.y, kY));
  ASSIGN_OR_RETURN(convolution, DescribeConvolution(problem));
  const OperationNames names = NamesOf(problem.direction);
  ASSIGN_OR_RETURN(operation, CudnnDescriptor::Make(names.type));
  RETURN_IF_ERROR(operation.Set(names.convolution, convolution));
  RETURN_IF_ERROR(operation.Set(names.x, x));
  RETURN_IF_ERROR(operation.Set(names.w, w));
  RETURN_IF_ERROR(operation.Set(names.y, y));
  RETURN_IF_ERROR(operation.Set<float>(names.alpha, CUDNN_TYPE_FLOAT, {1}));
  RETURN_IF_ERROR(operation.Set<float>(names.beta, CUDNN_TYPE_FLOAT, {0}));
  RETURN_IF_ERROR(operation.Finalize());
  ASSIGN_OR_RETURN(
      graph, CudnnDescriptor::Make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
  if (has_statistics) {
    RETURN_IF_ERROR(DescribeStatistics());
    RETURN_IF_ERROR(graph.Set<cudnnBackendDescriptor_t>(
        CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        {operation.get(), statistics.get()}));
  } else {
    RETURN_IF_ERROR(graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation));
  }
  RETURN_IF_ERROR(target.SetOnGraph(&graph));
  return graph.Finalize();
}

absl::StatusOr<std::vector<CudnnDescriptor>> CudnnConvolution::Graph::Configs(
    const CudnnTarget& target, cudnnBackendHeurMode_t mode,
    std::string* reasons) const {
  ASSIGN_OR_RETURN(CudnnDescriptor heuristics,
                   CudnnDescriptor::Make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
  RETURN_IF_ERROR(heuristics.Set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
  RETURN_IF_ERROR(heuristics.Set<cudnnBackendHeurMode_t>(
      CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, {mode}));
  RETURN_IF_ERROR(target.SetOnHeuristics(&heuristics));
  RETURN_IF_ERROR(heuristics.Finalize());
  ASSIGN_OR_RETURN(
      const int64_t known,
      heuristics.Get<void>(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                           CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr));
  std::vector<CudnnDescriptor> configs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < known; ++i) {
    ASSIGN_OR_RETURN(configs.emplace_back(),
                     CudnnDescriptor::Make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    handles.push_back(configs.back().get());
  }
  ASSIGN_OR_RETURN(
      const int64_t found,
      heuristics.Get(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                     CUDNN_TYPE_BACKEND_DESCRIPTOR, known, handles.data()));
  configs.resize(std::min(found, known));
  const bool exact =
      problem.x.dtype == DataType::kFloat32 && !problem.may_round;
  std::vector<CudnnDescriptor> wanted;
  for (CudnnDescriptor& config : configs) {
    ASSIGN_OR_RETURN(const std::string reason, ReasonAgainst(config, exact));
    if (reason.empty()) {
      wanted.push_back(std::move(config));
    } else {
      absl::StrAppend(reasons, "; ", reason);
    }
  }
  return wanted;
}

absl::StatusOr<std::string> CudnnConvolution::Graph::TryPlan(
    const CudnnTarget& target, const CudnnDescriptor& candidate, int64_t most) {
  ASSIGN_OR_RETURN(
      plan, CudnnDescriptor::Make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
  RETURN_IF_ERROR(target.SetOnPlan(&plan));
  RETURN_IF_ERROR(plan.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate));
  // Heuristics name engines that turn out not to be for this GPU or problem.
  const cudnnStatus_t status = cudnnBackendFinalize(plan.get());
  if (status != CUDNN_STATUS_SUCCESS) return cudnnGetErrorString(status);
  RETURN_IF_ERROR(plan.Get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                           CUDNN_TYPE_INT64, 1, &workspace_bytes)
                      .status());
  return workspace_bytes > most ? absl::StrCat(workspace_bytes, " bytes")
                                : std::string();
}

absl::Status CudnnConvolution::Graph::Choose(const CudnnTarget& target,
                                             int64_t most, int engine) {
  std::string offered;
  ASSIGN_OR_RETURN(std::vector<CudnnDescriptor> configs,
                   Configs(target, CUDNN_HEUR_MODE_A, &offered));
  // Where the fast ones will not do, what is slow and always there.
  ASSIGN_OR_RETURN(std::vector<CudnnDescriptor> slow,
                   Configs(target, CUDNN_HEUR_MODE_FALLBACK, &offered));
  configs.insert(configs.end(), std::make_move_iterator(slow.begin()),
                 std::make_move_iterator(slow.end()));
  for (size_t i = 0; i < configs.size(); ++i) {
    CudnnDescriptor& candidate = configs[(engine + i) % configs.size()];
    ASSIGN_OR_RETURN(const std::string reason,
                     TryPlan(target, candidate, most));
    if (reason.empty()) {
      config = std::move(candidate);
      return absl::OkStatus();
    }
    absl::StrAppend(&offered, "; ", reason);
  }
  return absl::UnimplementedError(absl::StrCat(
      "cuDNN ", cudnnGetVersion(),
      " has no engine that computes this with the same bits each time within ",
      most, " bytes of workspace", offered));
}

CudnnConvolution::CudnnConvolution(std::unique_ptr<Graph> graph)
    : graph_(std::move(graph)) {}
CudnnConvolution::~CudnnConvolution() = default;
CudnnConvolution::CudnnConvolution(CudnnConvolution&&) noexcept = default;

int64_t CudnnConvolution::workspace_bytes() const {
  return graph_->workspace_bytes;
}

absl::StatusOr<CudnnConvolution> CudnnConvolution::Create(
    const CudnnTarget& target, const ConvolutionProblem& problem,
    int64_t most_workspace_bytes, int engine, bool statistics) {
  CHECK_GE(engine, 0);
  CHECK(!statistics || problem.direction == ConvolutionDirection::kForward);
  for (const TensorSlice* slice : {&problem.x, &problem.w, &problem.y}) {
    CHECK(slice->dtype == problem.x.dtype);
    CHECK(slice->layout == problem.x.layout);
    CHECK_GT(slice->num_elements(), 0);
  }
  auto graph = std::make_unique<Graph>();
  graph->problem = problem;
  graph->has_statistics = statistics;
  RETURN_IF_ERROR(Of(problem, statistics, graph->Describe(target)));
  RETURN_IF_ERROR(Of(problem, statistics,
                     graph->Choose(target, most_workspace_bytes, engine)));
  return CudnnConvolution(std::move(graph));
}

absl::StatusOr<cudnnBackendDescriptor_t> CudnnConvolution::Graph::PackOf(
    const Operands& operands) {
  auto pointers = [](const Operands& o) {
    return std::array<void*, 6>{o.x,   o.w,          o.y,
                                o.sum, o.square_sum, o.workspace};
  };
  for (const auto& [known, pack] : packs) {
    if (pointers(known) == pointers(operands)) return pack.get();
  }
  ASSIGN_OR_RETURN(
      CudnnDescriptor pack,
      CudnnDescriptor::Make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
  const Operands& o = operands;
  if (has_statistics) {
    RETURN_IF_ERROR(pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                             {kX, kW, kY, kSum, kSquareSum}));
    RETURN_IF_ERROR(pack.Set<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                    CUDNN_TYPE_VOID_PTR,
                                    {o.x, o.w, o.y, o.sum, o.square_sum}));
  } else {
    RETURN_IF_ERROR(pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, {kX, kW, kY}));
    RETURN_IF_ERROR(pack.Set<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                    CUDNN_TYPE_VOID_PTR, {o.x, o.w, o.y}));
  }
  RETURN_IF_ERROR(pack.Set<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                  CUDNN_TYPE_VOID_PTR, {o.workspace}));
  RETURN_IF_ERROR(pack.Finalize());
  packs.emplace_back(operands, std::move(pack));
  return packs.back().second.get();
}

absl::Status CudnnConvolution::Graph::Execute(cudnnContext* cudnn,
                                              const Operands& operands) {
  ASSIGN_OR_RETURN(const cudnnBackendDescriptor_t pack, PackOf(operands));
  RETURN_IF_CUDNN_ERROR(cudnnBackendExecute(cudnn, plan.get(), pack));
  return absl::OkStatus();
}

absl::Status CudnnConvolution::Run(cudnnContext* cudnn,
                                   const Operands& operands) const {
  return Of(graph_->problem, graph_->has_statistics,
            graph_->Execute(cudnn, operands));
}

}  // namespace facet::ops
