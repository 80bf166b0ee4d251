#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/variable_rows.h"

namespace facet::runtime {
namespace {

constexpr int64_t kPieceBytes = int64_t{16} << 20;
constexpr char kStep[] = "facet_step";
constexpr int64_t kMostSteps = int64_t{1} << 40;

// visit(begin, end, bytes) for rows [begin, end), some MiB at a time.
template <typename Visit>
absl::Status ForPieces(const ops::TensorType& type, const Visit& visit) {
  const int64_t rows = NumRows(type.shape);
  if (rows == 0) return absl::OkStatus();
  const int64_t row_bytes = type.size_bytes() / rows;
  const int64_t step =
      std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, row_bytes));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t end = std::min(rows, begin + step);
    RETURN_IF_ERROR(visit(begin, end, (end - begin) * row_bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredTensor>> VariablesOf(const Session& session) {
  std::vector<StoredTensor> variables;
  for (std::string& name : session.VariableNames()) {
    ASSIGN_OR_RETURN(ops::TensorType type, session.VariableType(name));
    variables.push_back({std::move(name), std::move(type)});
  }
  return variables;
}

absl::Status Compare(const std::vector<StoredTensor>& stored,
                     const std::vector<StoredTensor>& variables) {
  std::map<absl::string_view, const ops::TensorType*> types;
  for (const StoredTensor& tensor : stored) {
    types[tensor.name] = &tensor.type;
  }
  for (const StoredTensor& variable : variables) {
    const auto it = types.find(variable.name);
    if (it == types.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("it has no ", variable.name, ", which the model has (",
                       variable.type.ToString(), ")"));
    }
    if (*it->second != variable.type) {
      return absl::FailedPreconditionError(
          absl::StrCat(variable.name, " is ", it->second->ToString(),
                       " in it, ", variable.type.ToString(), " in the model"));
    }
    types.erase(it);
  }
  if (types.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the model has no ", types.begin()->first,
                   ", which it has (", types.begin()->second->ToString(), ")"));
}

// In the order in which the other processes write theirs: by name.
absl::Status Load(const std::string& path, const SafetensorsHeader& header,
                  Session* session) {
  ASSIGN_OR_RETURN(const std::vector<StoredTensor> variables,
                   VariablesOf(*session));
  RETURN_IF_ERROR(Compare(header.tensors, variables));
  std::map<absl::string_view, int64_t> positions;
  for (const StoredTensor& tensor : header.tensors) {
    positions[tensor.name] = tensor.position;
  }
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece;
  for (const StoredTensor& variable : variables) {
    file.seekg(positions.at(variable.name));
    RETURN_IF_ERROR(ForPieces(
        variable.type, [&](int64_t begin, int64_t end, int64_t bytes) {
          piece.resize(bytes);
          file.read(piece.data(), bytes);
          if (!file) {
            return absl::DataLossError(
                absl::StrCat("it cannot be read within ", variable.name));
          }
          return session->WriteRows(variable.name, begin, end, piece.data());
        }));
  }
  return absl::OkStatus();
}

// In another process than the one that reads.
absl::Status Receive(Session* session) {
  ASSIGN_OR_RETURN(const std::vector<StoredTensor> variables,
                   VariablesOf(*session));
  for (const StoredTensor& variable : variables) {
    RETURN_IF_ERROR(
        ForPieces(variable.type, [&](int64_t begin, int64_t end, int64_t) {
          return session->WriteRows(variable.name, begin, end, nullptr);
        }));
  }
  return absl::OkStatus();
}

// Hands all rows of all variables, in order, to write(bytes). An error of it is
// returned, but not before all rows are read: other processes send them.
template <typename Write>
absl::Status ReadAll(const std::vector<StoredTensor>& variables,
                     Session* session, const Write& write) {
  absl::Status written;
  std::vector<char> piece;
  for (const StoredTensor& variable : variables) {
    RETURN_IF_ERROR(ForPieces(
        variable.type, [&](int64_t begin, int64_t end, int64_t bytes) {
          piece.resize(bytes);
          RETURN_IF_ERROR(
              session->ReadRows(variable.name, begin, end, piece.data()));
          if (written.ok()) {
            written = write(absl::string_view(piece.data(), piece.size()));
          }
          return absl::OkStatus();
        }));
  }
  return written;
}

}  // namespace

absl::Status SaveCheckpoint(const std::string& path, int64_t step,
                            const std::map<std::string, std::string>& notes,
                            Session* session) {
  SafetensorsHeader header;
  header.metadata = notes;
  header.metadata[kStep] = absl::StrCat(step);
  header.metadata["format"] = "pt";  // Some readers ask for it.
  ASSIGN_OR_RETURN(header.tensors, VariablesOf(*session));
  if (!session->is_first_process()) {
    return ReadAll(header.tensors, session,
                   [](absl::string_view) { return absl::OkStatus(); });
  }
  absl::StatusOr<placement::AtomicFile> file =
      placement::AtomicFile::Open(path);
  absl::Status status = file.status();
  if (status.ok()) status = file->Append(EncodeHeader(header));
  RETURN_IF_ERROR(
      ReadAll(header.tensors, session, [&](absl::string_view bytes) {
        return status.ok() ? file->Append(bytes) : status;
      }));
  return file->Commit();
}

absl::StatusOr<int64_t> CheckpointStep(const std::string& path) {
  ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadHeader(path));
  const auto it = header.metadata.find(kStep);
  int64_t step = 0;
  if (it == header.metadata.end() || !absl::SimpleAtoi(it->second, &step) ||
      step < 0 || step > kMostSteps) {
    return absl::DataLossError(
        absl::StrCat(path, ": its metadata have no \"", kStep, "\" from 0 to ",
                     kMostSteps, ": it is not a checkpoint of a training"));
  }
  return step;
}

absl::Status LoadCheckpoint(const std::string& path, Session* session) {
  if (!session->is_first_process()) return Receive(session);
  ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadHeader(path));
  const absl::Status status = Load(path, header, session);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

}  // namespace facet::runtime
