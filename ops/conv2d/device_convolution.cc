#include "ops/conv2d/device_convolution.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ops/conv2d/algorithm.h"
#include "ops/reorder/device_change_layout.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

using Operand = DeviceConvolutionPlan::Operand;

// What cuDNN may use as scratch memory. Plans are made where there is no device
// to ask, so this is a rule: room for what its algorithms are known to want, x
// and y in another layout and some partial sums of dw. (Frameworks with a fixed
// limit have about kMost.) It costs little: the large ones belong to the layers
// next to the images, which run while little else is alive.
int64_t MostCudnnBytes(const ConvolutionProblem& problem) {
  constexpr int64_t kLeast = int64_t{1} << 20;
  constexpr int64_t kMost = int64_t{1} << 30;
  constexpr int64_t kPartialSums = 8;
  const int64_t w_sums =
      problem.w.num_elements() * static_cast<int64_t>(sizeof(float));
  return std::clamp(problem.x.size_bytes() + problem.y.size_bytes() +
                        kPartialSums * w_sums + kLeast,
                    kLeast, kMost);
}

// Where cuDNN reads or writes it.
void* PlaceOf(const Operand& operand, void* data, char* workspace) {
  return operand.copy == Operand::kNowhere ? data : workspace + operand.copy;
}

absl::Status Copy(const CudaContext& cuda, const TensorView& from,
                  const TensorView& to) {
  return ChangeLayout(cuda, from.shape(), from.slice.layout, from,
                      to.slice.layout, to);
}

absl::Status BringIn(const CudaContext& cuda, const Operand& operand,
                     void* data, char* workspace) {
  if (operand.copy == Operand::kNowhere) return absl::OkStatus();
  return Copy(cuda, {operand.given, data},
              {operand.wanted, workspace + operand.copy});
}

absl::Status TakeOut(const CudaContext& cuda, const Operand& operand,
                     void* data, char* workspace) {
  if (operand.copy == Operand::kNowhere) return absl::OkStatus();
  return Copy(cuda, {operand.wanted, workspace + operand.copy},
              {operand.given, data});
}

}  // namespace

DeviceConvolutionPlan::DeviceConvolutionPlan(const ConvolutionProblem& given) {
  const bool channels_last = given.x.layout == Layout::kChannelsLast ||
                             given.y.layout == Layout::kChannelsLast;
  wanted = given;
  for (TensorSlice* slice : {&wanted.x, &wanted.w, &wanted.y}) {
    slice->dtype = given.x.dtype;
    slice->layout = channels_last ? Layout::kChannelsLast : Layout::kRowMajor;
  }
  int64_t end = 0;
  auto take = [&](int64_t bytes) {
    constexpr int64_t kAlignment = 64;
    const int64_t offset = end;
    end += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  };
  const auto givens =
      ExchangeRoles(given.direction, &given.x, &given.w, &given.y);
  const auto wanteds =
      ExchangeRoles(given.direction, &wanted.x, &wanted.w, &wanted.y);
  for (size_t i = 0; i < operands.size(); ++i) {
    Operand operand{*givens[i], *wanteds[i]};
    const bool same_type = operand.given.dtype == operand.wanted.dtype;
    const bool alike = LieAlike(operand.given.shape, operand.given.layout,
                                operand.wanted.layout);
    if (!same_type || !alike) operand.copy = take(operand.wanted.size_bytes());
    operands[i] = operand;
  }
  cudnn_bytes = MostCudnnBytes(wanted);
  cudnn = take(cudnn_bytes);
}

DeviceConvolution::DeviceConvolution(DeviceConvolutionPlan plan,
                                     cudnnContext* cudnn,
                                     CudnnConvolution convolution)
    : plan_(std::move(plan)),
      cudnn_(cudnn),
      convolution_(
          std::make_shared<const CudnnConvolution>(std::move(convolution))) {}

absl::StatusOr<DeviceConvolution> DeviceConvolution::Create(
    CudaContext* cuda, const ConvolutionProblem& given, int engine,
    bool statistics) {
  for (const TensorSlice* slice : {&given.x, &given.w, &given.y}) {
    CHECK(ChannelBlock(slice->layout) == 1) << "a blocked layout";
  }
  DeviceConvolutionPlan plan(given);
  ASSIGN_OR_RETURN(cudnnContext* const cudnn, cuda->cudnn());
  ASSIGN_OR_RETURN(
      CudnnConvolution convolution,
      CudnnConvolution::Create(CudnnTarget(cudnn), plan.wanted,
                               plan.cudnn_bytes, engine, statistics));
  return DeviceConvolution(std::move(plan), cudnn, std::move(convolution));
}

absl::Status DeviceConvolution::Run(const KernelContext& context) const {
  char* workspace = static_cast<char*>(context.workspace);
  const std::array<void*, 3> data = {
      context.inputs[0].data, context.inputs[1].data, context.outputs[0].data};
  std::array<void*, 3> place;
  for (size_t i = 0; i < place.size(); ++i) {
    place[i] = PlaceOf(plan_.operands[i], data[i], workspace);
  }
  for (size_t i = 0; i < 2; ++i) {
    RETURN_IF_ERROR(
        BringIn(*context.cuda, plan_.operands[i], data[i], workspace));
  }
  CudnnConvolution::Operands operands;
  const auto [x, w, y] =
      ExchangeRoles(plan_.wanted.direction, place[0], place[1], place[2]);
  operands.x = x;
  operands.w = w;
  operands.y = y;
  operands.workspace = workspace + plan_.cudnn;
  if (context.outputs.size() > 1) {
    operands.sum = context.outputs[1].data;
    operands.square_sum = context.outputs[2].data;
  }
  RETURN_IF_ERROR(convolution_->Run(cudnn_, operands));
  return TakeOut(*context.cuda, plan_.operands[2], data[2], workspace);
}

absl::StatusOr<int> CudnnEngineOf(const KernelSpec& spec) {
  const std::string& algorithm = spec.attributes.String("algorithm");
  if (algorithm == "auto") return 0;
  if (const auto engine = CudnnEngine(algorithm)) return *engine;
  return absl::UnimplementedError(
      absl::StrCat("algorithm \"", algorithm,
                   "\" is for CPUs; on a CUDA device use \"auto\", or one of "
                   "cuDNN's engines: \"cudnn:0\""));
}

std::vector<Attributes> CudnnAlternatives(const KernelSpec& spec, int engines) {
  if (spec.attributes.String("algorithm") != "auto") return {spec.attributes};
  std::vector<Attributes> all(engines, spec.attributes);
  for (int engine = 0; engine < engines; ++engine) {
    all[engine].Set("algorithm", CudnnAlgorithm(engine));
  }
  return all;
}

}  // namespace facet::ops
