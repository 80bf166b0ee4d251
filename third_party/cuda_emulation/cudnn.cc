// Emulated cuDNN: convolutions as plain loops over the definition, sums in
// double.
#include <cudnn.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "third_party/cuda_emulation/elements.h"
#include "third_party/cuda_emulation/emulation.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

// Tensors and filters alike: four dimensions, of which the second is channels.
struct Descriptor {
  cudaDataType_t type = CUDA_R_32F;
  bool channels_last = false;
  int64_t dim[4] = {};

  int64_t size() const { return dim[0] * dim[1] * dim[2] * dim[3]; }
  int64_t size_bytes() const { return size() * cuda_emulation::SizeOf(type); }
  int64_t At(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return channels_last ? ((n * dim[2] + h) * dim[3] + w) * dim[1] + c
                         : ((n * dim[1] + c) * dim[2] + h) * dim[3] + w;
  }
};

struct cudnnTensorStruct : Descriptor {};
struct cudnnFilterStruct : Descriptor {};

struct cudnnConvolutionStruct {
  int pad[2] = {};
  int stride[2] = {1, 1};
  int dilation[2] = {1, 1};
  cudnnMathType_t math_type = CUDNN_DEFAULT_MATH;
};

namespace {

using cuda_emulation::Access;

// What the better algorithms want: more than nothing, so that it is planned.
constexpr size_t kWorkspaceBytes = 512;

cudaDataType_t TypeOf(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_HALF:
      return CUDA_R_16F;
    case CUDNN_DATA_BFLOAT16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

cudnnStatus_t Set(Descriptor* d, cudnnTensorFormat_t format,
                  cudnnDataType_t type, int a, int b, int c, int e) {
  if (a < 1 || b < 1 || c < 1 || e < 1) return CUDNN_STATUS_BAD_PARAM;
  d->type = TypeOf(type);
  d->channels_last = format == CUDNN_TENSOR_NHWC;
  d->dim[0] = a;
  d->dim[1] = b;
  d->dim[2] = c;
  d->dim[3] = e;
  return CUDNN_STATUS_SUCCESS;
}

bool Fit(const Descriptor& x, const Descriptor& w, const Descriptor& y,
         const cudnnConvolutionStruct& c) {
  for (int d = 0; d < 2; ++d) {
    const int64_t extent = (w.dim[2 + d] - 1) * c.dilation[d] + 1;
    const int64_t out =
        (x.dim[2 + d] + 2 * c.pad[d] - extent) / c.stride[d] + 1;
    if (y.dim[2 + d] != out) return false;
  }
  return x.dim[0] == y.dim[0] && x.dim[1] == w.dim[1] && y.dim[1] == w.dim[0] &&
         x.type == w.type && x.type == y.type;
}

// As tensor cores since A100 see a float32: 10 bits after the leading one.
float RoundToTf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = (bits + 0x1000) & 0xffffe000;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// An operand's elements as doubles, in memory order.
std::vector<double> Read(const char* what, const Descriptor& d,
                         cudnnMathType_t math_type, const void* data) {
  const bool is_tf32 = d.type == CUDA_R_32F && math_type != CUDNN_FMA_MATH;
  std::vector<double> values(d.size());
  for (int64_t i = 0; i < d.size(); ++i) {
    const float value = cuda_emulation::LoadElement(what, data, d.type, i);
    values[i] = is_tf32 ? RoundToTf32(value) : value;
  }
  return values;
}

// visit(x element, w element, y element) for every product of the convolution.
template <typename Visit>
void ForEachProduct(const Descriptor& x, const Descriptor& w,
                    const Descriptor& y, const cudnnConvolutionStruct& conv,
                    const Visit& visit) {
  for (int64_t n = 0; n < y.dim[0]; ++n) {
    for (int64_t k = 0; k < y.dim[1]; ++k) {
      for (int64_t p = 0; p < y.dim[2]; ++p) {
        for (int64_t q = 0; q < y.dim[3]; ++q) {
          for (int64_t r = 0; r < w.dim[2]; ++r) {
            const int64_t h =
                p * conv.stride[0] - conv.pad[0] + r * conv.dilation[0];
            if (h < 0 || h >= x.dim[2]) continue;
            for (int64_t s = 0; s < w.dim[3]; ++s) {
              const int64_t v =
                  q * conv.stride[1] - conv.pad[1] + s * conv.dilation[1];
              if (v < 0 || v >= x.dim[3]) continue;
              for (int64_t c = 0; c < x.dim[1]; ++c) {
                visit(x.At(n, c, h, v), w.At(k, c, r, s), y.At(n, k, p, q));
              }
            }
          }
        }
      }
    }
  }
}

// What the three directions share. The product accumulates in `out`.
cudnnStatus_t Run(
    const char* name, cudnnHandle_t handle, cudnnMathType_t math_type,
    const void* alpha, const Descriptor& a, const void* a_data,
    const Descriptor& b, const void* b_data, const void* beta,
    const Descriptor& out, void* out_data, size_t needed, void* workspace,
    size_t workspace_bytes,
    std::function<void(const std::vector<double>&, const std::vector<double>&,
                       std::vector<double>*)>
        accumulate) {
  if (workspace_bytes < needed) return CUDNN_STATUS_BAD_PARAM;
  float scale = 0, keep = 0;
  std::memcpy(&scale, alpha, sizeof(scale));
  std::memcpy(&keep, beta, sizeof(keep));
  char* scratch = static_cast<char*>(workspace);
  std::vector<Access> accesses = {{a_data, a.size_bytes(), false},
                                  {b_data, b.size_bytes(), false},
                                  {out_data, out.size_bytes(), true}};
  if (workspace_bytes > 0) {
    accesses.push_back({scratch, static_cast<int64_t>(workspace_bytes), true});
  }
  const cudaError_t error =
      cuda_emulation::Enqueue(name, handle->stream, accesses, [=] {
        std::vector<double> sums(out.size());
        accumulate(Read(name, a, math_type, a_data),
                   Read(name, b, math_type, b_data), &sums);
        for (int64_t i = 0; i < out.size(); ++i) {
          double value = scale * sums[i];
          if (keep != 0) {
            value += keep * static_cast<double>(cuda_emulation::LoadElement(
                                name, out_data, out.type, i));
          }
          cuda_emulation::StoreElement(out_data, out.type, i,
                                       static_cast<float>(value));
        }
        if (workspace_bytes > 0) {
          std::memset(cuda_emulation::Storage(scratch), 0xff, workspace_bytes);
        }
      });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS
                              : CUDNN_STATUS_EXECUTION_FAILED;
}

// One that is not supported, a fast one that needs workspace, and one that
// needs none. `fast_repeats`: that the fast one is deterministic.
template <typename Perf, typename Algo>
cudnnStatus_t List(Algo unsupported, Algo fast, bool fast_repeats, Algo slow,
                   int requested, int* returned, Perf* results) {
  if (requested < 1) return CUDNN_STATUS_BAD_PARAM;
  Perf list[3] = {};
  list[0].algo = unsupported;
  list[0].status = CUDNN_STATUS_NOT_SUPPORTED;
  list[0].time = -1;
  list[0].determinism = CUDNN_DETERMINISTIC;
  list[1].algo = fast;
  list[1].time = 1;
  list[1].memory = kWorkspaceBytes;
  list[1].determinism =
      fast_repeats ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
  list[2].algo = slow;
  list[2].time = 2;
  list[2].determinism = CUDNN_DETERMINISTIC;
  *returned = requested < 3 ? requested : 3;
  for (int i = 0; i < *returned; ++i) results[i] = list[i];
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
size_t cudnnGetVersion() { return 90000; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
  }
  return "CUDNN_STATUS_UNKNOWN";
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) {
  *d = new cudnnTensorStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) {
  delete d;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d,
                                         cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c,
                                         int h, int w) {
  return Set(d, format, type, n, c, h, w);
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) {
  *d = new cudnnFilterStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) {
  delete d;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d,
                                         cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k,
                                         int c, int h, int w) {
  return Set(d, format, type, k, c, h, w);
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(
    cudnnConvolutionDescriptor_t* d) {
  *d = new cudnnConvolutionStruct;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(
    cudnnConvolutionDescriptor_t d) {
  delete d;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d,
                                              int pad_h, int pad_w,
                                              int stride_h, int stride_w,
                                              int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute_type) {
  if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 ||
      dilation_h < 1 || dilation_w < 1) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  // Neither flipped filters nor sums in half are emulated.
  if (mode != CUDNN_CROSS_CORRELATION || compute_type != CUDNN_DATA_FLOAT) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  *d = {{pad_h, pad_w},
        {stride_h, stride_w},
        {dilation_h, dilation_w},
        d->math_type};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d,
                                          cudnnMathType_t math_type) {
  d->math_type = math_type;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y,
    int requested, int* returned, cudnnConvolutionFwdAlgoPerf_t* results) {
  if (!Fit(*x, *w, *y, *convolution)) return CUDNN_STATUS_BAD_PARAM;
  return List(CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
              CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, true,
              CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, requested, returned,
              results);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t dx,
    int requested, int* returned, cudnnConvolutionBwdDataAlgoPerf_t* results) {
  if (!Fit(*dx, *w, *dy, *convolution)) return CUDNN_STATUS_BAD_PARAM;
  return List(CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT,
              CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, false,
              CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, requested, returned, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t dw,
    int requested, int* returned,
    cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  if (!Fit(*x, *dw, *dy, *convolution)) return CUDNN_STATUS_BAD_PARAM;
  return List(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT,
              CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, false,
              CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, requested, returned,
              results);
}

cudnnStatus_t cudnnConvolutionForward(
    cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x_desc,
    const void* x, cudnnFilterDescriptor_t w_desc, const void* w,
    cudnnConvolutionDescriptor_t convolution, cudnnConvolutionFwdAlgo_t algo,
    void* workspace, size_t workspace_bytes, const void* beta,
    cudnnTensorDescriptor_t y_desc, void* y) {
  const Descriptor a = *x_desc, b = *w_desc, out = *y_desc;
  const cudnnConvolutionStruct conv = *convolution;
  if (!Fit(a, b, out, conv)) return CUDNN_STATUS_BAD_PARAM;
  if (algo == CUDNN_CONVOLUTION_FWD_ALGO_DIRECT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  const size_t needed =
      algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? 0 : kWorkspaceBytes;
  return Run("cudnnConvolutionForward", handle, conv.math_type, alpha, a, x, b,
             w, beta, out, y, needed, workspace, workspace_bytes,
             [=](const std::vector<double>& xs, const std::vector<double>& ws,
                 std::vector<double>* ys) {
               ForEachProduct(a, b, out, conv,
                              [&](int64_t i, int64_t j, int64_t k) {
                                (*ys)[k] += xs[i] * ws[j];
                              });
             });
}

cudnnStatus_t cudnnConvolutionBackwardData(
    cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t w_desc,
    const void* w, cudnnTensorDescriptor_t dy_desc, const void* dy,
    cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionBwdDataAlgo_t algo, void* workspace, size_t workspace_bytes,
    const void* beta, cudnnTensorDescriptor_t dx_desc, void* dx) {
  const Descriptor a = *w_desc, b = *dy_desc, out = *dx_desc;
  const cudnnConvolutionStruct conv = *convolution;
  if (!Fit(out, a, b, conv)) return CUDNN_STATUS_BAD_PARAM;
  if (algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  const size_t needed =
      algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 ? 0 : kWorkspaceBytes;
  return Run("cudnnConvolutionBackwardData", handle, conv.math_type, alpha, a,
             w, b, dy, beta, out, dx, needed, workspace, workspace_bytes,
             [=](const std::vector<double>& ws, const std::vector<double>& dys,
                 std::vector<double>* dxs) {
               ForEachProduct(out, a, b, conv,
                              [&](int64_t i, int64_t j, int64_t k) {
                                (*dxs)[i] += dys[k] * ws[j];
                              });
             });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(
    cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x_desc,
    const void* x, cudnnTensorDescriptor_t dy_desc, const void* dy,
    cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionBwdFilterAlgo_t algo, void* workspace,
    size_t workspace_bytes, const void* beta, cudnnFilterDescriptor_t dw_desc,
    void* dw) {
  const Descriptor a = *x_desc, b = *dy_desc, out = *dw_desc;
  const cudnnConvolutionStruct conv = *convolution;
  if (!Fit(a, out, b, conv)) return CUDNN_STATUS_BAD_PARAM;
  if (algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  const size_t needed =
      algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 ? 0 : kWorkspaceBytes;
  return Run("cudnnConvolutionBackwardFilter", handle, conv.math_type, alpha, a,
             x, b, dy, beta, out, dw, needed, workspace, workspace_bytes,
             [=](const std::vector<double>& xs, const std::vector<double>& dys,
                 std::vector<double>* dws) {
               ForEachProduct(a, out, b, conv,
                              [&](int64_t i, int64_t j, int64_t k) {
                                (*dws)[j] += dys[k] * xs[i];
                              });
             });
}
