// Checkpoints: all variables of a session (weights, momentum, running
// statistics, loss scale) in one safetensors file, by their names, which for
// weights are those of arcface_torch's state dict. A session that loads one
// goes on as the one that saved it would have, to the bit; on another number of
// devices too, if the variables are the same (batch norm has statistics per
// device, unless they are synchronised).
#ifndef FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_
#define FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/session.h"

namespace facet::runtime {

// Where several processes run a plan, all of them call these functions but
// CheckpointStep, and process 0 reads and writes the file.

// Not while the session runs. `step`: how many steps have been done in all.
// `notes`: further metadata, for people. A file of this name is replaced when
// the new one is whole. Takes some MiB of memory, whatever the model. Errors
// name the file and the system's reason (a full disk).
absl::Status SaveCheckpoint(const std::string& path, int64_t step,
                            const std::map<std::string, std::string>& notes,
                            Session* session);

// The step it was saved at. Errors as those of ReadHeader, and DataLoss for a
// file that SaveCheckpoint did not write.
absl::StatusOr<int64_t> CheckpointStep(const std::string& path);

// Everything is compared before anything is changed: FailedPrecondition names
// what one side lacks, or has with another type or shape.
absl::Status LoadCheckpoint(const std::string& path, Session* session);

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_CHECKPOINT_CHECKPOINT_H_
