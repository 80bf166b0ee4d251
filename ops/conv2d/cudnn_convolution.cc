#include "ops/conv2d/cudnn_convolution.h"

#include <cudnn.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "ops/cuda/cudnn_error.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

// More than there are algorithms, each with and without tensor cores.
constexpr int kMostAlgorithms = 24;

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

cudnnTensorFormat_t CudnnFormat(Layout layout) {
  CHECK(layout == Layout::kRowMajor || layout == Layout::kChannelsLast)
      << std::string(LayoutName(layout));
  return layout == Layout::kRowMajor ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC;
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

std::string ToString(const ConvolutionProblem& problem) {
  return absl::StrCat(
      "the ", NameOf(problem.direction), " of x ", problem.x.shape.ToString(),
      " with w ", problem.w.shape.ToString(), ", stride ", problem.stride,
      ", padding ", problem.padding, ", ", DataTypeName(problem.x.dtype), " ",
      LayoutName(problem.x.layout));
}

// cuDNN's errors do not say which layer it was.
absl::Status Of(const ConvolutionProblem& problem, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(ToString(problem), ": ", status.message()));
}

// Their offsets are ints inside cuDNN.
absl::Status ExpectFew(const TensorSlice& slice) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  if (slice.num_elements() <= kMost) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(slice.shape.ToString(), " has ", slice.num_elements(),
                   " elements on one device; cuDNN takes at most ", kMost,
                   ": use a smaller batch per device"));
}

absl::Status SetTensor(cudnnTensorDescriptor_t descriptor,
                       const TensorSlice& slice) {
  RETURN_IF_ERROR(ExpectFew(slice));
  const Shape& s = slice.shape;
  RETURN_IF_CUDNN_ERROR(cudnnSetTensor4dDescriptor(
      descriptor, CudnnFormat(slice.layout), CudnnType(slice.dtype),
      static_cast<int>(s[0]), static_cast<int>(s[1]), static_cast<int>(s[2]),
      static_cast<int>(s[3])));
  return absl::OkStatus();
}

absl::Status SetFilter(cudnnFilterDescriptor_t descriptor,
                       const TensorSlice& slice) {
  RETURN_IF_ERROR(ExpectFew(slice));
  const Shape& s = slice.shape;
  RETURN_IF_CUDNN_ERROR(cudnnSetFilter4dDescriptor(
      descriptor, CudnnType(slice.dtype), CudnnFormat(slice.layout),
      static_cast<int>(s[0]), static_cast<int>(s[1]), static_cast<int>(s[2]),
      static_cast<int>(s[3])));
  return absl::OkStatus();
}

// What the heuristics may choose from. For float32 DEFAULT_MATH is TF32 where a
// GPU has it.
cudnnMathType_t WidestMathType(const ConvolutionProblem& problem) {
  if (problem.x.dtype != DataType::kFloat32) return CUDNN_TENSOR_OP_MATH;
  return problem.may_round ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

// `found`: what the heuristics say of each algorithm, the fastest first.
// `exact`: float32 is to be multiplied as such.
template <typename Found>
absl::StatusOr<CudnnConvolution::Algorithm> FirstThatWillDo(
    absl::Span<const Found> found, bool exact, int64_t most) {
  std::string offered;
  for (const Found& f : found) {
    const int64_t needed = static_cast<int64_t>(f.memory);
    const bool repeats = f.determinism == CUDNN_DETERMINISTIC;
    if (f.status == CUDNN_STATUS_SUCCESS && repeats && needed <= most) {
      // The heuristics choose between tensor cores and not.
      const cudnnMathType_t math_type = exact ? CUDNN_FMA_MATH : f.mathType;
      return CudnnConvolution::Algorithm{static_cast<int>(f.algo),
                                         static_cast<int>(math_type), needed};
    }
    absl::StrAppend(&offered, "; algorithm ", static_cast<int>(f.algo), ": ");
    if (f.status != CUDNN_STATUS_SUCCESS) {
      absl::StrAppend(&offered, cudnnGetErrorString(f.status));
    } else {
      absl::StrAppend(&offered, needed, " bytes",
                      repeats ? "" : ", bits that differ from run to run");
    }
  }
  return absl::UnimplementedError(absl::StrCat(
      "cuDNN ", cudnnGetVersion(),
      " has no algorithm that gives the same bits each time within ", most,
      " bytes of workspace", offered));
}

}  // namespace

void CudnnDelete::operator()(cudnnTensorStruct* descriptor) const {
  (void)cudnnDestroyTensorDescriptor(descriptor);
}
void CudnnDelete::operator()(cudnnFilterStruct* descriptor) const {
  (void)cudnnDestroyFilterDescriptor(descriptor);
}
void CudnnDelete::operator()(cudnnConvolutionStruct* descriptor) const {
  (void)cudnnDestroyConvolutionDescriptor(descriptor);
}

absl::StatusOr<CudnnConvolution> CudnnConvolution::Create(
    cudnnContext* cudnn, const ConvolutionProblem& problem,
    int64_t most_workspace_bytes) {
  for (const TensorSlice* slice : {&problem.x, &problem.w, &problem.y}) {
    CHECK(slice->dtype == problem.x.dtype);
    CHECK(slice->layout == problem.x.layout);
    CHECK_GT(slice->num_elements(), 0);
  }
  CudnnConvolution result;
  result.problem_ = problem;
  RETURN_IF_ERROR(Of(problem, result.Describe()));
  absl::StatusOr<Algorithm> chosen = result.Choose(cudnn, most_workspace_bytes);
  RETURN_IF_ERROR(Of(problem, chosen.status()));
  result.algorithm_ = *chosen;
  RETURN_IF_CUDNN_ERROR(cudnnSetConvolutionMathType(
      result.convolution_.get(),
      static_cast<cudnnMathType_t>(chosen->math_type)));
  return result;
}

absl::Status CudnnConvolution::Describe() {
  cudnnTensorDescriptor_t tensor = nullptr;
  RETURN_IF_CUDNN_ERROR(cudnnCreateTensorDescriptor(&tensor));
  x_.reset(tensor);
  RETURN_IF_CUDNN_ERROR(cudnnCreateTensorDescriptor(&tensor));
  y_.reset(tensor);
  cudnnFilterDescriptor_t filter = nullptr;
  RETURN_IF_CUDNN_ERROR(cudnnCreateFilterDescriptor(&filter));
  w_.reset(filter);
  cudnnConvolutionDescriptor_t convolution = nullptr;
  RETURN_IF_CUDNN_ERROR(cudnnCreateConvolutionDescriptor(&convolution));
  convolution_.reset(convolution);

  RETURN_IF_ERROR(SetTensor(x_.get(), problem_.x));
  RETURN_IF_ERROR(SetTensor(y_.get(), problem_.y));
  RETURN_IF_ERROR(SetFilter(w_.get(), problem_.w));
  const int stride = static_cast<int>(problem_.stride);
  const int padding = static_cast<int>(problem_.padding);
  constexpr int kDilation = 1;
  RETURN_IF_CUDNN_ERROR(cudnnSetConvolution2dDescriptor(
      convolution, padding, padding, stride, stride, kDilation, kDilation,
      CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  RETURN_IF_CUDNN_ERROR(
      cudnnSetConvolutionMathType(convolution, WidestMathType(problem_)));
  return absl::OkStatus();
}

absl::StatusOr<CudnnConvolution::Algorithm> CudnnConvolution::Choose(
    cudnnContext* cudnn, int64_t most) const {
  const bool exact = WidestMathType(problem_) == CUDNN_FMA_MATH;
  int count = 0;
  auto first = [&](const auto& found) {
    return FirstThatWillDo(absl::MakeConstSpan(found, count), exact, most);
  };
  switch (problem_.direction) {
    case ConvolutionDirection::kGradInput: {
      cudnnConvolutionBwdDataAlgoPerf_t found[kMostAlgorithms];
      RETURN_IF_CUDNN_ERROR(cudnnGetConvolutionBackwardDataAlgorithm_v7(
          cudnn, w_.get(), y_.get(), convolution_.get(), x_.get(),
          kMostAlgorithms, &count, found));
      return first(found);
    }
    case ConvolutionDirection::kGradWeight: {
      cudnnConvolutionBwdFilterAlgoPerf_t found[kMostAlgorithms];
      RETURN_IF_CUDNN_ERROR(cudnnGetConvolutionBackwardFilterAlgorithm_v7(
          cudnn, x_.get(), y_.get(), convolution_.get(), w_.get(),
          kMostAlgorithms, &count, found));
      return first(found);
    }
    default: {
      cudnnConvolutionFwdAlgoPerf_t found[kMostAlgorithms];
      RETURN_IF_CUDNN_ERROR(cudnnGetConvolutionForwardAlgorithm_v7(
          cudnn, x_.get(), w_.get(), convolution_.get(), y_.get(),
          kMostAlgorithms, &count, found));
      return first(found);
    }
  }
}

absl::Status CudnnConvolution::Run(cudnnContext* cudnn, void* x, void* w,
                                   void* y, void* workspace) const {
  return Of(problem_, Enqueue(cudnn, x, w, y, workspace));
}

absl::Status CudnnConvolution::Enqueue(cudnnContext* cudnn, void* x, void* w,
                                       void* y, void* workspace) const {
  const float one = 1, zero = 0;
  const size_t bytes = algorithm_.workspace_bytes;
  switch (problem_.direction) {
    case ConvolutionDirection::kGradInput:
      RETURN_IF_CUDNN_ERROR(cudnnConvolutionBackwardData(
          cudnn, &one, w_.get(), w, y_.get(), y, convolution_.get(),
          static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm_.number),
          workspace, bytes, &zero, x_.get(), x));
      break;
    case ConvolutionDirection::kGradWeight:
      RETURN_IF_CUDNN_ERROR(cudnnConvolutionBackwardFilter(
          cudnn, &one, x_.get(), x, y_.get(), y, convolution_.get(),
          static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm_.number),
          workspace, bytes, &zero, w_.get(), w));
      break;
    default:
      RETURN_IF_CUDNN_ERROR(cudnnConvolutionForward(
          cudnn, &one, x_.get(), x, w_.get(), w, convolution_.get(),
          static_cast<cudnnConvolutionFwdAlgo_t>(algorithm_.number), workspace,
          bytes, &zero, y_.get(), y));
  }
  return absl::OkStatus();
}

}  // namespace facet::ops
