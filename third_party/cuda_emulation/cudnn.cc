// Emulated cuDNN: convolutions as plain loops over the definition, sums in
// double; of the results, too, where they are asked for.
#include <cudnn.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "third_party/cuda_emulation/elements.h"
#include "third_party/cuda_emulation/emulation.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace {

using cuda_emulation::Access;

// An operand, with four dimensions, of which the second is channels.
struct Operand {
  cudaDataType_t type = CUDA_R_32F;
  int64_t dim[4] = {};
  int64_t stride[4] = {};
  int64_t id = 0;

  int64_t size() const { return dim[0] * dim[1] * dim[2] * dim[3]; }
  int64_t size_bytes() const { return size() * cuda_emulation::SizeOf(type); }
  int64_t At(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * stride[0] + c * stride[1] + h * stride[2] + w * stride[3];
  }
  bool IsChannelsLast() const {
    return stride[1] == 1 && stride[3] == dim[1] &&
           stride[2] == dim[3] * dim[1] &&
           stride[0] == dim[1] * dim[2] * dim[3];
  }
  // Whether its elements lie side by side, row-major or channels-last.
  bool IsPacked() const {
    const int64_t planes = dim[2] * dim[3];
    const bool row_major = stride[3] == 1 && stride[2] == dim[3] &&
                           stride[1] == planes && stride[0] == dim[1] * planes;
    return row_major || IsChannelsLast();
  }
};

struct Problem {
  cudnnBackendDescriptorType_t direction;
  Operand x, w, y;
  int64_t pad[2] = {}, stride[2] = {}, dilation[2] = {};
  float alpha = 1, beta = 0;
  bool has_statistics = false;
  Operand sum, square_sum;  // Of y, by channel.

  bool Fits() const {
    for (int d = 0; d < 2; ++d) {
      const int64_t extent = (w.dim[2 + d] - 1) * dilation[d] + 1;
      const int64_t out = (x.dim[2 + d] + 2 * pad[d] - extent) / stride[d] + 1;
      if (y.dim[2 + d] != out) return false;
    }
    return x.dim[0] == y.dim[0] && x.dim[1] == w.dim[1] &&
           y.dim[1] == w.dim[0] && x.type == w.type && x.type == y.type;
  }
};

struct Engine {
  bool supported = true;
  bool rounds = true;  // float32 to TF32.
  bool repeats = true;
  int64_t workspace_bytes = 0;
};

// What the engine that is the fastest wants: more than nothing, so that it is
// planned.
constexpr int64_t kWorkspaceBytes = 512;

struct Descriptor {
  struct Attribute {
    cudnnBackendAttributeType_t type;
    int64_t count = 0;
    std::vector<char> bytes;
  };

  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Attribute> attributes;
  // Of operations and all that is made of them.
  Problem problem = {};
  Engine engine;

  // One element, or none.
  template <typename T>
  bool Get(cudnnBackendAttributeName_t name, T* value,
           int64_t count = 1) const {
    auto found = attributes.find(name);
    if (found == attributes.end() || found->second.count != count) return false;
    std::memcpy(value, found->second.bytes.data(), count * sizeof(T));
    return true;
  }
  // One that is finalized.
  const Descriptor* Get(cudnnBackendAttributeName_t name) const {
    cudnnBackendDescriptor_t value = nullptr;
    if (!Get(name, &value)) return nullptr;
    const auto* descriptor = static_cast<const Descriptor*>(value);
    return descriptor->finalized ? descriptor : nullptr;
  }
};

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

size_t SizeOf(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return sizeof(void*);
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    default:
      return 4;  // Floats and enumerations.
  }
}

bool ReadOperand(const Descriptor* d, Operand* operand) {
  if (d == nullptr || d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) return false;
  cudnnDataType_t type;
  if (!d->Get(CUDNN_ATTR_TENSOR_DATA_TYPE, &type) ||
      !d->Get(CUDNN_ATTR_TENSOR_DIMENSIONS, operand->dim, 4) ||
      !d->Get(CUDNN_ATTR_TENSOR_STRIDES, operand->stride, 4) ||
      !d->Get(CUDNN_ATTR_TENSOR_UNIQUE_ID, &operand->id)) {
    return false;
  }
  operand->type = TypeOf(type);
  return true;
}

bool IsTensor(const Descriptor& d) {
  Operand operand;
  int64_t alignment = 0;
  if (!ReadOperand(&d, &operand) ||
      !d.Get(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &alignment)) {
    return false;
  }
  for (int64_t dim : operand.dim) {
    if (dim < 1) return false;
  }
  return operand.IsPacked();
}

// Neither flipped filters nor sums in half are emulated.
bool IsConvolution(const Descriptor& d) {
  cudnnDataType_t compute_type;
  cudnnConvolutionMode_t mode;
  int64_t dims = 0, pad[2], stride[2], dilation[2];
  return d.Get(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, &compute_type) &&
         compute_type == CUDNN_DATA_FLOAT &&
         d.Get(CUDNN_ATTR_CONVOLUTION_CONV_MODE, &mode) &&
         mode == CUDNN_CROSS_CORRELATION &&
         d.Get(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &dims) && dims == 2 &&
         d.Get(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, pad, 2) && pad[0] >= 0 &&
         pad[1] >= 0 && d.Get(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, pad, 2) &&
         pad[0] >= 0 && pad[1] >= 0 &&
         d.Get(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride, 2) &&
         stride[0] >= 1 && stride[1] >= 1 &&
         d.Get(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation, 2) &&
         dilation[0] >= 1 && dilation[1] >= 1;
}

struct OperationNames {
  cudnnBackendAttributeName_t convolution, alpha, beta, x, w, y;
};

OperationNames NamesOf(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
    default:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
  }
}

bool ReadProblem(const Descriptor& d, Problem* problem) {
  const OperationNames names = NamesOf(d.type);
  const Descriptor* conv = d.Get(names.convolution);
  problem->direction = d.type;
  int64_t post[2];
  return conv != nullptr && ReadOperand(d.Get(names.x), &problem->x) &&
         ReadOperand(d.Get(names.w), &problem->w) &&
         ReadOperand(d.Get(names.y), &problem->y) &&
         d.Get(names.alpha, &problem->alpha) &&
         d.Get(names.beta, &problem->beta) &&
         conv->Get(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, problem->pad, 2) &&
         conv->Get(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, post, 2) &&
         post[0] == problem->pad[0] && post[1] == problem->pad[1] &&
         conv->Get(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, problem->stride, 2) &&
         conv->Get(CUDNN_ATTR_CONVOLUTION_DILATIONS, problem->dilation, 2) &&
         problem->Fits();
}

// Float32 sums by channel of what it reads.
bool IsStatistics(const Descriptor& d) {
  cudnnGenStatsMode_t mode;
  cudnnDataType_t compute_type;
  Operand x, sums[2];
  if (!d.Get(CUDNN_ATTR_OPERATION_GENSTATS_MODE, &mode) ||
      mode != CUDNN_GENSTATS_SUM_SQSUM ||
      !d.Get(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, &compute_type) ||
      compute_type != CUDNN_DATA_FLOAT ||
      !ReadOperand(d.Get(CUDNN_ATTR_OPERATION_GENSTATS_XDESC), &x) ||
      !ReadOperand(d.Get(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC), &sums[0]) ||
      !ReadOperand(d.Get(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC), &sums[1])) {
    return false;
  }
  for (const Operand& sum : sums) {
    if (sum.type != CUDA_R_32F || sum.size() != x.dim[1] ||
        sum.dim[1] != x.dim[1]) {
      return false;
    }
  }
  return true;
}

// One operation, or a convolution and the statistics of its result.
bool ReadGraph(const Descriptor& d, Problem* problem) {
  if (const Descriptor* only = d.Get(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    if (only->type == CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR) {
      return false;  // By itself it is not emulated.
    }
    *problem = only->problem;
    return true;
  }
  cudnnBackendDescriptor_t both[2];
  if (!d.Get(CUDNN_ATTR_OPERATIONGRAPH_OPS, both, 2)) return false;
  const auto& convolution = *static_cast<const Descriptor*>(both[0]);
  const auto& statistics = *static_cast<const Descriptor*>(both[1]);
  Operand y;
  if (!convolution.finalized || !statistics.finalized ||
      convolution.type !=
          CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ||
      statistics.type != CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR ||
      !ReadOperand(statistics.Get(CUDNN_ATTR_OPERATION_GENSTATS_XDESC), &y) ||
      y.id != convolution.problem.y.id) {
    return false;
  }
  *problem = convolution.problem;
  problem->has_statistics = true;
  return ReadOperand(statistics.Get(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC),
                     &problem->sum) &&
         ReadOperand(statistics.Get(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC),
                     &problem->square_sum);
}

bool HasEnginesForStatistics(const Problem& problem) {
  return problem.y.type == CUDA_R_16F && problem.x.IsChannelsLast() &&
         problem.y.IsChannelsLast() && problem.x.dim[1] % 8 == 0 &&
         problem.y.dim[1] % 8 == 0;
}

std::vector<Engine> EnginesOf(const Problem& problem,
                              cudnnBackendHeurMode_t mode) {
  if (problem.has_statistics) {
    if (mode == CUDNN_HEUR_MODE_FALLBACK || !HasEnginesForStatistics(problem)) {
      return {};
    }
    return {{.supported = false}, {.workspace_bytes = kWorkspaceBytes}};
  }
  if (mode == CUDNN_HEUR_MODE_FALLBACK) {
    return {{.supported = true, .rounds = false}};
  }
  const bool is_gradient =
      problem.direction !=
      CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  return {{.supported = false},
          {.repeats = !is_gradient, .workspace_bytes = kWorkspaceBytes},
          {.supported = true}};
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
std::vector<double> Read(const char* what, const Operand& operand, bool rounds,
                         const void* data) {
  const bool is_tf32 = operand.type == CUDA_R_32F && rounds;
  std::vector<double> values(operand.size());
  for (int64_t i = 0; i < operand.size(); ++i) {
    const float value =
        cuda_emulation::LoadElement(what, data, operand.type, i);
    values[i] = is_tf32 ? RoundToTf32(value) : value;
  }
  return values;
}

// visit(x element, w element, y element) for every product of the convolution.
template <typename Visit>
void ForEachProduct(const Problem& conv, const Visit& visit) {
  const Operand &x = conv.x, &w = conv.w, &y = conv.y;
  // Of the innermost loop, where all the time goes.
  const int64_t channels = x.dim[1];
  const int64_t x_step = x.stride[1], w_step = w.stride[1];
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
              int64_t x_at = x.At(n, 0, h, v), w_at = w.At(k, 0, r, s);
              const int64_t y_at = y.At(n, k, p, q);
              for (int64_t c = 0; c < channels; ++c) {
                visit(x_at, w_at, y_at);
                x_at += x_step;
                w_at += w_step;
              }
            }
          }
        }
      }
    }
  }
}

// Adds up the products of two operands in the third, by direction.
void Accumulate(const Problem& problem, const double* a, const double* b,
                double* sums) {
  switch (problem.direction) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      ForEachProduct(problem, [=](int64_t x, int64_t w, int64_t y) {
        sums[x] += a[w] * b[y];
      });
      return;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      ForEachProduct(problem, [=](int64_t x, int64_t w, int64_t y) {
        sums[w] += a[x] * b[y];
      });
      return;
    default:
      ForEachProduct(problem, [=](int64_t x, int64_t w, int64_t y) {
        sums[y] += a[x] * b[w];
      });
  }
}

// Of the elements of y, which lies channels-last.
void StoreStatistics(const Problem& problem, const std::vector<double>& y,
                     void* sum, void* square_sum) {
  const int64_t channels = problem.y.dim[1];
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0, squares = 0;
    for (size_t i = c; i < y.size(); i += channels) {
      total += y[i];
      squares += y[i] * y[i];
    }
    cuda_emulation::StoreElement(sum, CUDA_R_32F, c, static_cast<float>(total));
    cuda_emulation::StoreElement(square_sum, CUDA_R_32F, c,
                                 static_cast<float>(squares));
  }
}

// Where the operands are.
struct Pointers {
  void *x, *w, *y;
  void *sum, *square_sum;  // Null: without statistics.
};

cudnnStatus_t Run(cudnnHandle_t handle, const Problem& problem,
                  const Engine& engine, const Pointers& pointers,
                  char* workspace) {
  constexpr const char* kName = "cudnnBackendExecute";
  // Two operands in, one out.
  const Operand *a = &problem.x, *b = &problem.w, *out = &problem.y;
  void *a_data = pointers.x, *b_data = pointers.w, *out_data = pointers.y;
  if (problem.direction ==
      CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    a = &problem.w, b = &problem.y, out = &problem.x;
    a_data = pointers.w, b_data = pointers.y, out_data = pointers.x;
  } else if (problem.direction ==
             CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) {
    b = &problem.y, out = &problem.w;
    b_data = pointers.y, out_data = pointers.w;
  }
  std::vector<Access> accesses = {{a_data, a->size_bytes(), false},
                                  {b_data, b->size_bytes(), false},
                                  {out_data, out->size_bytes(), true}};
  const int64_t workspace_bytes = engine.workspace_bytes;
  if (workspace_bytes > 0)
    accesses.push_back({workspace, workspace_bytes, true});
  if (problem.has_statistics) {
    accesses.push_back({pointers.sum, problem.sum.size_bytes(), true});
    accesses.push_back(
        {pointers.square_sum, problem.square_sum.size_bytes(), true});
  }
  const bool rounds = engine.rounds;
  const cudaError_t error = cuda_emulation::Enqueue(
      kName, handle->stream, accesses,
      [=, first = *a, second = *b, third = *out] {
        std::vector<double> sums(third.size());
        Accumulate(problem, Read(kName, first, rounds, a_data).data(),
                   Read(kName, second, rounds, b_data).data(), sums.data());
        for (int64_t i = 0; i < third.size(); ++i) {
          double value = problem.alpha * sums[i];
          if (problem.beta != 0) {
            value +=
                problem.beta * static_cast<double>(cuda_emulation::LoadElement(
                                   kName, out_data, third.type, i));
          }
          cuda_emulation::StoreElement(out_data, third.type, i,
                                       static_cast<float>(value));
          sums[i] = value;
        }
        if (problem.has_statistics) {
          StoreStatistics(problem, sums, pointers.sum, pointers.square_sum);
        }
        if (workspace_bytes > 0) {
          std::memset(cuda_emulation::Storage(workspace), 0xff,
                      workspace_bytes);
        }
      });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS
                              : CUDNN_STATUS_EXECUTION_FAILED;
}

// What the heuristics found, into the caller's descriptors.
void PutConfigs(const Descriptor& heuristics,
                const std::vector<Engine>& engines, int64_t requested,
                int64_t* count, void* elements) {
  const int64_t known = static_cast<int64_t>(engines.size());
  *count = requested == 0 ? known : std::min(known, requested);
  if (requested == 0) return;
  auto* configs = static_cast<cudnnBackendDescriptor_t*>(elements);
  for (int64_t i = 0; i < *count; ++i) {
    auto* config = static_cast<Descriptor*>(configs[i]);
    config->problem = heuristics.problem;
    config->engine = engines[i];
    config->finalized = true;
  }
}

std::vector<cudnnBackendNumericalNote_t> NotesOf(const Descriptor& engine) {
  std::vector<cudnnBackendNumericalNote_t> notes;
  if (engine.engine.rounds) notes.push_back(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
  if (!engine.engine.repeats) {
    notes.push_back(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  }
  return notes;
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
size_t cudnnGetVersion() { return CUDNN_VERSION; }

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

cudnnStatus_t cudnnBackendCreateDescriptor(
    cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  auto* created = new Descriptor;
  created->type = type;
  *descriptor = created;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(
    cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type,
                                       int64_t count, const void* elements) {
  auto* d = static_cast<Descriptor*>(descriptor);
  if (d == nullptr || d->finalized || count < 1) return CUDNN_STATUS_BAD_PARAM;
  const char* bytes = static_cast<const char*>(elements);
  d->attributes[name] = {type, count, {bytes, bytes + count * SizeOf(type)}};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t,
                                       int64_t requested, int64_t* count,
                                       void* elements) {
  auto* d = static_cast<Descriptor*>(descriptor);
  if (d == nullptr || !d->finalized) return CUDNN_STATUS_BAD_PARAM;
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: {
      cudnnBackendHeurMode_t mode;
      if (!d->Get(CUDNN_ATTR_ENGINEHEUR_MODE, &mode)) break;
      PutConfigs(*d, EnginesOf(d->problem, mode), requested, count, elements);
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_ENGINECFG_ENGINE: {
      if (requested != 1) break;
      auto* engine = static_cast<Descriptor*>(
          *static_cast<cudnnBackendDescriptor_t*>(elements));
      engine->engine = d->engine;
      engine->finalized = true;
      *count = 1;
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: {
      const std::vector<cudnnBackendNumericalNote_t> notes = NotesOf(*d);
      *count = std::min<int64_t>(requested, notes.size());
      std::copy_n(notes.begin(), *count,
                  static_cast<cudnnBackendNumericalNote_t*>(elements));
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      if (requested != 1) break;
      std::memcpy(elements, &d->engine.workspace_bytes, sizeof(int64_t));
      *count = 1;
      return CUDNN_STATUS_SUCCESS;
    default:
      break;
  }
  return CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  auto* d = static_cast<Descriptor*>(descriptor);
  if (d == nullptr || d->finalized) return CUDNN_STATUS_BAD_PARAM;
  const Descriptor* of = nullptr;  // What the problem comes from.
  switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      if (!IsTensor(*d)) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      if (!IsConvolution(*d)) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      if (!ReadProblem(*d, &d->problem)) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR:
      if (!IsStatistics(*d)) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      if (!ReadGraph(*d, &d->problem)) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      of = d->Get(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      if (of == nullptr) return CUDNN_STATUS_BAD_PARAM;
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      of = d->Get(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
      if (of == nullptr) return CUDNN_STATUS_BAD_PARAM;
      if (!of->engine.supported) return CUDNN_STATUS_NOT_SUPPORTED;
      d->engine = of->engine;
      break;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      break;
    default:  // Others are the heuristics'.
      return CUDNN_STATUS_BAD_PARAM;
  }
  if (of != nullptr) d->problem = of->problem;
  d->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle,
                                  cudnnBackendDescriptor_t plan_descriptor,
                                  cudnnBackendDescriptor_t variant_pack) {
  const auto& plan = *static_cast<const Descriptor*>(plan_descriptor);
  const auto& pack = *static_cast<const Descriptor*>(variant_pack);
  const Problem& problem = plan.problem;
  // By id, as the operands of the problem are named.
  Pointers pointers = {};
  std::vector<std::pair<const Operand*, void**>> wanted = {
      {&problem.x, &pointers.x},
      {&problem.w, &pointers.w},
      {&problem.y, &pointers.y}};
  if (problem.has_statistics) {
    wanted.push_back({&problem.sum, &pointers.sum});
    wanted.push_back({&problem.square_sum, &pointers.square_sum});
  }
  const auto count = static_cast<int64_t>(wanted.size());
  std::vector<int64_t> ids(count);
  std::vector<void*> given(count);
  void* workspace = nullptr;
  if (!plan.finalized || !pack.finalized ||
      !pack.Get(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids.data(), count) ||
      !pack.Get(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, given.data(), count) ||
      !pack.Get(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &workspace)) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  for (const auto& [operand, pointer] : wanted) {
    const auto found = std::find(ids.begin(), ids.end(), operand->id);
    if (found == ids.end()) return CUDNN_STATUS_BAD_PARAM;
    *pointer = given[found - ids.begin()];
    if (*pointer == nullptr) return CUDNN_STATUS_BAD_PARAM;
  }
  return Run(handle, problem, plan.engine, pointers,
             static_cast<char*>(workspace));
}
