// The safetensors format (github.com/huggingface/safetensors): 8 bytes, the
// length of the header, little-endian; the header, JSON: by tensor its type,
// shape and where its bytes lie behind the header; the bytes, row-major,
// without holes. Read by PyTorch's, JAX's and other libraries.
#ifndef FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_
#define FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/graph/graph.h"

namespace facet::runtime {

struct StoredTensor {
  std::string name;
  ops::TensorType type;
  int64_t position = 0;  // Of its first byte in the file. Set by reading.
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;  // As they lie.
};

// All that precedes the bytes of the tensors, which follow one after the other.
std::string EncodeHeader(const SafetensorsHeader& header);

// NotFound, or Unavailable with the system's reason; DataLoss, with what is
// wrong, for a file that is cut off, damaged, or of another kind;
// Unimplemented for types that Facet does not have. All name the file.
absl::StatusOr<SafetensorsHeader> ReadHeader(const std::string& path);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_CHECKPOINT_SAFETENSORS_H_
