// How kernels use oneDNN: the CPU engine, our types and layouts as memory
// descriptors, its exceptions as Status, and running a primitive on raw
// pointers. What the primitives compute is the kernels' business. Include it
// only from .cc files: oneDNN's header is large.
#ifndef FACET_OPS_ONEDNN_H_
#define FACET_OPS_ONEDNN_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "ops/kernel.h"

namespace facet::ops {

// The one CPU engine of the process. Thread-safe, lives forever.
const dnnl::engine& OnednnEngine();

// Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX). Where it
// does not, kernels compute halves in float32. It has no float16 on any CPU.
// Obeys the environment variable ONEDNN_MAX_CPU_ISA.
bool OnednnHasBFloat16();

// CHECKs that oneDNN knows the type (not int64).
dnnl::memory::data_type OnednnDataType(DataType dtype);

// The descriptor of a local share: rank 1 to 6 row-major, or rank 4 in any
// layout. InvalidArgument for a blocked layout whose local channels are not a
// multiple of the block: our buffers have no padding.
absl::StatusOr<dnnl::memory::desc> OnednnDescriptor(const TensorSlice& slice);
// As if the elements were of type `dtype`.
absl::StatusOr<dnnl::memory::desc> OnednnDescriptor(const TensorSlice& slice,
                                                    DataType dtype);

// "conv2d forward: unimplemented: ..."; Unimplemented, ResourceExhausted (out
// of memory), InvalidArgument or Internal, as oneDNN's status means.
absl::Status OnednnError(absl::string_view call, const dnnl::error& error);

// Runs f() and turns what it throws into a Status that begins with `call`.
template <typename F>
absl::Status TryOnednn(absl::string_view call, const F& f) {
  try {
    f();
    return absl::OkStatus();
  } catch (const dnnl::error& error) {
    return OnednnError(call, error);
  }
}

// A primitive attribute that makes the caller own the scratch memory, so that
// it can be planned: query scratchpad_desc(), bind DNNL_ARG_SCRATCHPAD.
dnnl::primitive_attr OnednnUserScratchpad();

// Describes a primitive with user scratch memory (throws dnnl::error). What
// oneDNN 2 wraps in a Primitive::desc, oneDNN 3 takes as it is.
template <typename Primitive, typename... Arguments>
typename Primitive::primitive_desc OnednnDescribe(
    const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(OnednnEngine(), arguments...,
                                            OnednnUserScratchpad());
#else
  return typename Primitive::primitive_desc(
      typename Primitive::desc(arguments...), OnednnUserScratchpad(),
      OnednnEngine());
#endif
}

// Likewise a gradient, which wants to see the primitive that it belongs to.
template <typename Gradient, typename Forward, typename... Arguments>
typename Gradient::primitive_desc OnednnDescribeGradient(
    const Forward& forward, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Gradient::primitive_desc(OnednnEngine(), arguments...,
                                           forward, OnednnUserScratchpad());
#else
  return typename Gradient::primitive_desc(
      typename Gradient::desc(arguments...), OnednnUserScratchpad(),
      OnednnEngine(), forward);
#endif
}

inline dnnl::memory::dims OnednnDims(const dnnl::memory::desc& descriptor) {
#if DNNL_VERSION_MAJOR >= 3
  return descriptor.get_dims();
#else
  return descriptor.dims();
#endif
}

inline dnnl::memory::data_type OnednnType(
    const dnnl::memory::desc& descriptor) {
#if DNNL_VERSION_MAJOR >= 3
  return descriptor.get_data_type();
#else
  return descriptor.data_type();
#endif
}

// A primitive with fixed operands, run on other pointers each time. The
// operands' memory objects are made once: a run makes none. For one thread at
// a time; move-only.
class OnednnCall {
 public:
  OnednnCall(OnednnCall&&) = default;
  OnednnCall& operator=(OnednnCall&&) = default;

  // `operands`: DNNL_ARG_* and descriptor, in the order of Run's pointers.
  // `name` opens the error messages.
  static absl::StatusOr<OnednnCall> Create(
      std::string name, const dnnl::primitive& primitive,
      const std::vector<std::pair<int, dnnl::memory::desc>>& operands);

  // Runs on the calling thread's OpenMP team and returns when it is done.
  absl::Status Run(absl::Span<void* const> pointers);

 private:
  OnednnCall() = default;

  std::string name_;
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::vector<dnnl::memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
  std::vector<void*> bound_;  // What memories_ point to now.
};

}  // namespace facet::ops

#endif  // FACET_OPS_ONEDNN_H_
