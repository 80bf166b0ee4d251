#include "ops/conv2d/convolution.h"

#include "absl/strings/match.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using dnnl::memory;

struct Formats {
  memory::desc x, w, y;
};

absl::string_view DirectionName(ConvolutionDirection direction) {
  switch (direction) {
    case ConvolutionDirection::kForward:
      return "convolution forward";
    case ConvolutionDirection::kGradInput:
      return "convolution backward by data";
    case ConvolutionDirection::kGradWeight:
      return "convolution backward by weights";
  }
  return "convolution";
}

// The same extents and element type in a format of oneDNN's choice.
memory::desc AnyFormat(const memory::desc& desc) {
  return memory::desc(OnednnDims(desc), OnednnType(desc),
                      memory::format_tag::any);
}

template <typename Convolution>
ConvolutionPrimitive Describe(
    const typename Convolution::primitive_desc& descriptor) {
  ConvolutionPrimitive result;
  result.scratchpad = descriptor.scratchpad_desc();
  result.implementation = descriptor.impl_info_str();
  result.make = [descriptor] { return Convolution(descriptor); };
  return result;
}

// Throws dnnl::error if there is no implementation.
ConvolutionPrimitive MakeConvolution(const ConvolutionProblem& problem,
                                     const Formats& formats) {
  constexpr dnnl::algorithm algorithm = dnnl::algorithm::convolution_direct;
  const memory::dims strides(2, problem.stride);
  const memory::dims padding(2, problem.padding);

  using Forward = dnnl::convolution_forward;
  if (problem.direction == ConvolutionDirection::kForward) {
    const auto descriptor = OnednnDescribe<Forward>(
        dnnl::prop_kind::forward_training, algorithm, formats.x, formats.w,
        formats.y, strides, padding, padding);
    ConvolutionPrimitive result = Describe<Forward>(descriptor);
    result.x = descriptor.src_desc();
    result.w = descriptor.weights_desc();
    result.y = descriptor.dst_desc();
    return result;
  }

  // oneDNN wants to see the forward convolution that a gradient belongs to;
  // for convolutions it takes nothing but the algorithm from it.
  const auto forward = OnednnDescribe<Forward>(
      dnnl::prop_kind::forward_training, algorithm, AnyFormat(formats.x),
      memory::desc(OnednnDims(formats.w), OnednnType(formats.x),
                   memory::format_tag::any),
      AnyFormat(formats.y), strides, padding, padding);

  if (problem.direction == ConvolutionDirection::kGradInput) {
    using Backward = dnnl::convolution_backward_data;
    const auto descriptor = OnednnDescribeGradient<Backward>(
        forward, algorithm, formats.x, formats.w, formats.y, strides, padding,
        padding);
    ConvolutionPrimitive result = Describe<Backward>(descriptor);
    result.x = descriptor.diff_src_desc();
    result.w = descriptor.weights_desc();
    result.y = descriptor.diff_dst_desc();
    return result;
  }

  using Backward = dnnl::convolution_backward_weights;
  const auto descriptor =
      OnednnDescribeGradient<Backward>(forward, algorithm, formats.x, formats.w,
                                       formats.y, strides, padding, padding);
  ConvolutionPrimitive result = Describe<Backward>(descriptor);
  result.x = descriptor.src_desc();
  result.w = descriptor.diff_weights_desc();
  result.y = descriptor.diff_dst_desc();
  return result;
}

absl::StatusOr<ConvolutionPrimitive> TryConvolution(
    const ConvolutionProblem& problem, const Formats& formats) {
  ConvolutionPrimitive result;
  RETURN_IF_ERROR(TryOnednn(DirectionName(problem.direction), [&] {
    result = MakeConvolution(problem, formats);
  }));
  return result;
}

bool IsFast(const absl::StatusOr<ConvolutionPrimitive>& primitive) {
  return primitive.ok() && !absl::StartsWith(primitive->implementation, "ref");
}

}  // namespace

DataType ConvolutionComputeType(const ConvolutionProblem& problem) {
  const bool native =
      problem.x.dtype == DataType::kBFloat16 && OnednnHasBFloat16();
  return native ? DataType::kBFloat16 : DataType::kFloat32;
}

absl::StatusOr<ConvolutionPrimitive> ChooseConvolution(
    const ConvolutionProblem& problem) {
  const DataType dtype = ConvolutionComputeType(problem);
  const DataType w_dtype =
      problem.direction == ConvolutionDirection::kGradWeight
          ? DataType::kFloat32
          : dtype;
  Formats given;
  ASSIGN_OR_RETURN(given.x, OnednnDescriptor(problem.x, dtype));
  ASSIGN_OR_RETURN(given.w, OnednnDescriptor(problem.w, w_dtype));
  ASSIGN_OR_RETURN(given.y, OnednnDescriptor(problem.y, dtype));
  given.w = AnyFormat(given.w);
  const Formats free = {AnyFormat(given.x), given.w, AnyFormat(given.y)};

  absl::StatusOr<ConvolutionPrimitive> as_given =
      TryConvolution(problem, given);
  if (IsFast(as_given)) return as_given;
  absl::StatusOr<ConvolutionPrimitive> reordered =
      TryConvolution(problem, free);
  if (IsFast(reordered)) return reordered;
  return as_given;
}

}  // namespace facet::ops
