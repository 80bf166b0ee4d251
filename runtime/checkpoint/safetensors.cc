#include "runtime/checkpoint/safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"

namespace facet::runtime {
namespace {

using Json = nlohmann::ordered_json;
using ops::DataType;

constexpr int64_t kLengthBytes = 8;
// What other readers refuse, too.
constexpr int64_t kMostHeaderBytes = 100'000'000;
constexpr char kMetadata[] = "__metadata__";

struct NamedType {
  const char* name;
  DataType dtype;
};
constexpr NamedType kTypes[] = {{"F32", DataType::kFloat32},
                                {"F16", DataType::kFloat16},
                                {"BF16", DataType::kBFloat16},
                                {"I32", DataType::kInt32},
                                {"I64", DataType::kInt64}};

const char* NameOf(DataType dtype) {
  for (const NamedType& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  LOG(FATAL) << "safetensors have no " << std::string(DataTypeName(dtype));
  return "";
}

absl::StatusOr<DataType> TypeOf(const std::string& name) {
  for (const NamedType& type : kTypes) {
    if (name == type.name) return type.dtype;
  }
  return absl::UnimplementedError(
      absl::StrCat("type ", name, "; Facet has F32, F16, BF16, I32 and I64"));
}

bool IsCount(const Json& json) {
  return json.is_number_unsigned() &&
         json.get<uint64_t>() <=
             static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

bool AreCounts(const Json& json) {
  return json.is_array() && std::all_of(json.begin(), json.end(), IsCount);
}

// Bytes of the shape, if that is at most `most`, zeros left out.
absl::StatusOr<int64_t> SizeOf(const std::vector<int64_t>& dims, DataType dtype,
                               int64_t most) {
  int64_t bytes = ops::SizeInBytes(dtype);
  bool is_empty = false;
  for (int64_t dim : dims) {
    is_empty = is_empty || dim == 0;
    if (dim > most / bytes) {
      return absl::DataLossError("its shape is larger than the file");
    }
    bytes *= std::max<int64_t>(dim, 1);
  }
  return is_empty ? 0 : bytes;
}

// One entry of the header; its position is from the end of the header.
absl::StatusOr<StoredTensor> ReadTensor(const std::string& name,
                                        const Json& json, int64_t data_bytes) {
  const bool has_all =
      json.is_object() && json.contains("dtype") && json["dtype"].is_string() &&
      json.contains("shape") && AreCounts(json["shape"]) &&
      json.contains("data_offsets") && AreCounts(json["data_offsets"]) &&
      json["data_offsets"].size() == 2;
  if (!has_all) {
    return absl::DataLossError("no dtype, shape and two data_offsets");
  }
  StoredTensor tensor;
  tensor.name = name;
  ASSIGN_OR_RETURN(tensor.type.dtype, TypeOf(json["dtype"].get<std::string>()));
  const auto dims = json["shape"].get<std::vector<int64_t>>();
  const auto begin = json["data_offsets"][0].get<int64_t>();
  const auto end = json["data_offsets"][1].get<int64_t>();
  ASSIGN_OR_RETURN(const int64_t bytes,
                   SizeOf(dims, tensor.type.dtype, data_bytes));
  if (begin > end || end > data_bytes || end - begin != bytes) {
    return absl::DataLossError(absl::StrCat("bytes ", begin, " to ", end,
                                            " of ", data_bytes,
                                            " for a tensor of ", bytes));
  }
  tensor.type.shape = ops::Shape(dims);
  tensor.position = begin;
  return tensor;
}

absl::StatusOr<SafetensorsHeader> Decode(const Json& json, int64_t data_begin,
                                         int64_t data_bytes) {
  SafetensorsHeader header;
  for (const auto& [name, entry] : json.items()) {
    if (name == kMetadata) {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) {
          return absl::DataLossError("metadata that are not text");
        }
        header.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    absl::StatusOr<StoredTensor> tensor = ReadTensor(name, entry, data_bytes);
    if (!tensor.ok()) {
      return absl::Status(
          tensor.status().code(),
          absl::StrCat("tensor ", name, ": ", tensor.status().message()));
    }
    header.tensors.push_back(*std::move(tensor));
  }
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const StoredTensor& a, const StoredTensor& b) {
                     return a.position < b.position;
                   });
  int64_t end = 0;
  for (StoredTensor& tensor : header.tensors) {
    if (tensor.position != end) {
      return absl::DataLossError(
          absl::StrCat("tensor ", tensor.name, " begins at byte ",
                       tensor.position, ", the one before it ends at ", end));
    }
    end += tensor.type.size_bytes();
    tensor.position += data_begin;
  }
  if (end != data_bytes) {
    return absl::DataLossError(absl::StrCat(
        "it has ", data_bytes, " bytes of tensors, ", end, " are described"));
  }
  return header;
}

absl::StatusOr<SafetensorsHeader> Read(std::ifstream& file, int64_t bytes) {
  unsigned char length[kLengthBytes];
  file.read(reinterpret_cast<char*>(length), kLengthBytes);
  uint64_t header_bytes = 0;
  for (int i = kLengthBytes - 1; i >= 0; --i) {
    header_bytes = header_bytes << 8 | length[i];
  }
  if (!file || header_bytes > kMostHeaderBytes ||
      static_cast<int64_t>(header_bytes) > bytes - kLengthBytes) {
    return absl::DataLossError(absl::StrCat(
        "it has ", bytes, " bytes and is cut off, or no safetensors file"));
  }
  std::string text(header_bytes, '\0');
  file.read(text.data(), static_cast<int64_t>(header_bytes));
  if (!file) return absl::DataLossError("it cannot be read");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError(
        "its header is damaged, or it is no safetensors "
        "file");
  }
  const int64_t data_begin = kLengthBytes + static_cast<int64_t>(header_bytes);
  return Decode(json, data_begin, bytes - data_begin);
}

}  // namespace

std::string EncodeHeader(const SafetensorsHeader& header) {
  Json json = Json::object();
  json[kMetadata] = header.metadata;
  int64_t position = 0;
  for (const StoredTensor& tensor : header.tensors) {
    const int64_t end = position + tensor.type.size_bytes();
    json[tensor.name] = {
        {"dtype", NameOf(tensor.type.dtype)},
        {"shape", std::vector<int64_t>(tensor.type.shape.dims().begin(),
                                       tensor.type.shape.dims().end())},
        {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = json.dump();
  // Tensors begin at multiples of 8 bytes, if their sizes are such.
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  std::string length;
  for (size_t i = 0, rest = text.size(); i < kLengthBytes; ++i, rest >>= 8) {
    length.push_back(static_cast<char>(rest & 0xff));
  }
  return length + text;
}

absl::StatusOr<SafetensorsHeader> ReadHeader(const std::string& path) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) {
    const std::string reason = error ? error.message() : strerror(errno);
    const std::string text = absl::StrCat("cannot open ", path, ": ", reason);
    return error == std::errc::no_such_file_or_directory
               ? absl::NotFoundError(text)
               : absl::UnavailableError(text);
  }
  absl::StatusOr<SafetensorsHeader> header =
      Read(file, static_cast<int64_t>(bytes));
  if (header.ok()) return header;
  return absl::Status(header.status().code(),
                      absl::StrCat(path, ": ", header.status().message()));
}

}  // namespace facet::runtime
