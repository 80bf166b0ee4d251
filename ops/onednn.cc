#include "ops/onednn.h"

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace facet::ops {
namespace {

using dnnl::memory;

absl::string_view OnednnStatusName(dnnl_status_t status) {
  switch (status) {
    case dnnl_success:
      return "success";
    case dnnl_out_of_memory:
      return "out of memory";
    case dnnl_invalid_arguments:
      return "invalid arguments";
    case dnnl_unimplemented:
      return "unimplemented on this CPU";
    case dnnl_runtime_error:
      return "runtime error";
    case dnnl_not_required:
      return "not required";
    default:  // Status 4 has another name in oneDNN 3.
      return "no more implementations";
  }
}

memory::format_tag RowMajorTag(int rank) {
  static constexpr memory::format_tag kTags[] = {
      memory::format_tag::a,     memory::format_tag::ab,
      memory::format_tag::abc,   memory::format_tag::abcd,
      memory::format_tag::abcde, memory::format_tag::abcdef};
  CHECK(rank >= 1 && rank <= 6) << "rank " << rank;
  return kTags[rank - 1];
}

memory::format_tag LayoutTag(Layout layout) {
  switch (layout) {
    case Layout::kRowMajor:
      return memory::format_tag::nchw;
    case Layout::kChannelsLast:
      return memory::format_tag::nhwc;
    case Layout::kBlocked8:
      return memory::format_tag::nChw8c;
    case Layout::kBlocked16:
      return memory::format_tag::nChw16c;
  }
  LOG(FATAL) << "unknown Layout " << static_cast<int>(layout);
  return memory::format_tag::undef;
}

}  // namespace

const dnnl::engine& OnednnEngine() {
  static const auto& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool OnednnHasBFloat16() {
  constexpr unsigned kBits = dnnl_cpu_isa_avx512_core_bf16;
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kBits) ==
         kBits;
}

memory::data_type OnednnDataType(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return memory::data_type::f32;
    case DataType::kFloat16:
      return memory::data_type::f16;
    case DataType::kBFloat16:
      return memory::data_type::bf16;
    case DataType::kInt32:
      return memory::data_type::s32;
    case DataType::kInt64:
      break;
  }
  LOG(FATAL) << "oneDNN has no " << std::string(DataTypeName(dtype));
  return memory::data_type::undef;
}

absl::StatusOr<memory::desc> OnednnDescriptor(const TensorSlice& slice) {
  return OnednnDescriptor(slice, slice.dtype);
}

absl::StatusOr<memory::desc> OnednnDescriptor(const TensorSlice& slice,
                                              DataType dtype) {
  const int rank = slice.shape.rank();
  CHECK(slice.layout == Layout::kRowMajor || rank == 4)
      << slice.shape.ToString() << " in "
      << std::string(LayoutName(slice.layout));
  const int64_t block = ChannelBlock(slice.layout);
  if (block > 1 && slice.shape[1] % block != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layout ", LayoutName(slice.layout), " needs channels in multiples of ",
        block, "; the share ", slice.shape.ToString(), " has ", slice.shape[1],
        ": use nchw or nhwc for this tensor"));
  }
  memory::desc result;
  absl::Status status = TryOnednn("memory descriptor", [&] {
    result = memory::desc(
        memory::dims(slice.shape.dims().begin(), slice.shape.dims().end()),
        OnednnDataType(dtype),
        rank == 4 ? LayoutTag(slice.layout) : RowMajorTag(rank));
  });
  if (!status.ok()) return status;
  return result;
}

absl::Status OnednnError(absl::string_view call, const dnnl::error& error) {
  const std::string message =
      absl::StrCat("oneDNN, ", call, ": ", OnednnStatusName(error.status), " (",
                   error.message, ")");
  switch (error.status) {
    case dnnl_out_of_memory:
      return absl::ResourceExhaustedError(message);
    case dnnl_unimplemented:
      return absl::UnimplementedError(message);
    case dnnl_invalid_arguments:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

dnnl::primitive_attr OnednnUserScratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

absl::StatusOr<OnednnCall> OnednnCall::Create(
    std::string name, const dnnl::primitive& primitive,
    const std::vector<std::pair<int, memory::desc>>& operands) {
  OnednnCall call;
  absl::Status status = TryOnednn(name, [&] {
    call.primitive_ = primitive;
    call.stream_ = dnnl::stream(OnednnEngine());
    for (const auto& [argument, descriptor] : operands) {
      // With no buffer of its own: Run gives it one.
      call.memories_.push_back(
          memory(descriptor, OnednnEngine(), DNNL_MEMORY_NONE));
      call.arguments_.push_back({argument, call.memories_.back().get()});
    }
  });
  if (!status.ok()) return status;
  call.bound_.assign(operands.size(), nullptr);
  call.name_ = std::move(name);
  return call;
}

absl::Status OnednnCall::Run(absl::Span<void* const> pointers) {
  CHECK_EQ(pointers.size(), bound_.size()) << name_;
  return TryOnednn(name_, [&] {
    for (size_t i = 0; i < pointers.size(); ++i) {
      // Buffers repeat from step to step, and binding one would fill the
      // padding of a padded format with zeros, which the primitive that writes
      // the buffer does anyway.
      if (pointers[i] == bound_[i]) continue;
      memories_[i].set_data_handle(pointers[i]);
      bound_[i] = pointers[i];
    }
    // The C interface: the C++ one would build a map and a vector per run.
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive_.get(), stream_.get(),
                               static_cast<int>(arguments_.size()),
                               arguments_.data()),
        "could not execute");
    dnnl::error::wrap_c_api(dnnl_stream_wait(stream_.get()),
                            "could not wait for the stream");
  });
}

}  // namespace facet::ops
