#include "placement/plan/plan_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "ops/status_macros.h"
#include "placement/plan/text_proto.h"
#include "placement/plan/validate.h"
#include "placement/plan/write_file.h"
#include "zlib.h"

namespace facet::placement {
namespace {

enum class Format { kBinary, kText, kJson };

absl::StatusOr<Format> FormatOf(const std::string& path) {
  if (absl::EndsWith(path, ".pb")) return Format::kBinary;
  if (absl::EndsWith(path, ".txt") || absl::EndsWith(path, ".pbtxt")) {
    return Format::kText;
  }
  if (absl::EndsWith(path, ".json")) return Format::kJson;
  return absl::InvalidArgumentError(
      absl::StrCat("plan file ", path,
                   ": its name must end in .pb, .pbtxt, .txt or .json, which "
                   "says what is in it"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  auto error = [&](int code) {
    const std::string text =
        absl::StrCat("cannot read plan ", path, ": ", strerror(code));
    return code == ENOENT ? absl::NotFoundError(text)
                          : absl::UnavailableError(text);
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return error(errno);
  std::string content;
  char buffer[1 << 16];
  ssize_t count;
  while ((count = read(file, buffer, sizeof(buffer))) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int code = errno;
      close(file);
      return error(code);
    }
    content.append(buffer, count);
  }
  close(file);
  return content;
}

absl::Status Parse(const std::string& content, Format format, Plan* plan) {
  switch (format) {
    case Format::kBinary:
      if (plan->ParseFromString(content)) return absl::OkStatus();
      return absl::InvalidArgumentError("is truncated, or not a plan");
    case Format::kText: {
      const absl::Status status = ParseTextProto(content, plan);
      if (status.ok()) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("is truncated, or not a plan: ", status.message()));
    }
    case Format::kJson: {
      const auto status =
          google::protobuf::util::JsonStringToMessage(content, plan);
      if (status.ok()) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat(
          "is truncated, or not a plan: ", std::string(status.message())));
    }
  }
  return absl::InternalError("no such format");
}

// Of a plan without a checksum; never 0, which is what a cut file has.
uint32_t Checksum(const Plan& plan) {
  const std::string bytes = plan.SerializeAsString();
  const uLong crc =
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return std::max(static_cast<uint32_t>(crc), uint32_t{1});
}

// Takes the checksum out of the plan. Another version may have fields that are
// not known here: that is for ValidatePlan to say.
absl::Status CheckChecksum(Plan* plan) {
  const uint32_t written = plan->checksum();
  plan->clear_checksum();
  if (plan->version() != kPlanVersion) return absl::OkStatus();
  const uint32_t found = Checksum(*plan);
  if (written == found) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "is truncated, or was changed after it was written: its checksum is ",
      written, ", its content's is ", found, "; compile the plan again"));
}

absl::Status FileError(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("plan file ", path, ": ", status.message()));
}

}  // namespace

absl::Status CheckPlanFileName(const std::string& path) {
  return FormatOf(path).status();
}

absl::Status WritePlan(const Plan& given, const std::string& path) {
  ASSIGN_OR_RETURN(const Format format, FormatOf(path));
  Plan plan = given;
  plan.set_checksum(Checksum(plan));
  std::string content;
  switch (format) {
    case Format::kBinary:
      content = plan.SerializeAsString();
      break;
    case Format::kText:
      google::protobuf::TextFormat::PrintToString(plan, &content);
      break;
    case Format::kJson: {
      google::protobuf::util::JsonPrintOptions options;
      options.add_whitespace = true;
      options.preserve_proto_field_names = true;
      const auto status =
          google::protobuf::util::MessageToJsonString(plan, &content, options);
      if (!status.ok()) {
        return absl::InternalError(std::string(status.message()));
      }
      break;
    }
  }
  return WriteFileAtomically(path, content);
}

absl::StatusOr<UncheckedPlan> ReadUncheckedPlan(const std::string& path) {
  ASSIGN_OR_RETURN(const Format format, FormatOf(path));
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  UncheckedPlan read;
  const absl::Status status = content.empty()
                                  ? absl::InvalidArgumentError("is empty")
                                  : Parse(content, format, &read.plan);
  if (!status.ok()) return FileError(path, status);
  read.checksum = CheckChecksum(&read.plan);
  return read;
}

absl::StatusOr<Plan> ReadPlan(const std::string& path) {
  ASSIGN_OR_RETURN(UncheckedPlan read, ReadUncheckedPlan(path));
  absl::Status status = read.checksum;
  if (status.ok()) status = ValidatePlan(read.plan);
  if (!status.ok()) return FileError(path, status);
  return std::move(read.plan);
}

}  // namespace facet::placement
