#include "benchmarks/tuning/kernel_time_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/tuning/kernel_times.pb.h"
#include "glog/logging.h"
#include "google/protobuf/text_format.h"
#include "ops/status_macros.h"
#include "placement/plan/text_proto.h"
#include "placement/plan/write_file.h"
#include "zlib.h"

namespace facet::benchmarks {
namespace {

// NotFound: there is no file. Other errors: it cannot be used.
absl::StatusOr<SecondsByKernel> Read(const std::string& path,
                                     const std::string& machine) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError(path);
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::DataLossError("it cannot be read");
  KernelTimes message;
  RETURN_IF_ERROR(placement::ParseTextProto(text.str(), &message));
  if (message.machine() != machine) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it is of \"", message.machine(), "\", this is \"", machine, "\""));
  }
  SecondsByKernel times;
  for (const KernelTime& time : message.times()) {
    if (!(time.seconds() > 0)) {
      return absl::DataLossError(
          absl::StrCat(time.seconds(), " s for ", time.kernel()));
    }
    times.emplace(time.kernel(), time.seconds());
  }
  return times;
}

}  // namespace

std::string KernelTimePath(const std::string& machine) {
  std::string folder;
  if (const char* cache = std::getenv("XDG_CACHE_HOME");
      cache != nullptr && cache[0] == '/') {
    folder = cache;
  } else if (const char* home = std::getenv("HOME");
             home != nullptr && home[0] == '/') {
    folder = absl::StrCat(home, "/.cache");
  } else {
    return "";
  }
  const auto hash = static_cast<uint32_t>(crc32_z(
      0, reinterpret_cast<const Bytef*>(machine.data()), machine.size()));
  return absl::StrFormat("%s/facet/kernel_times-%08x.txtpb", folder, hash);
}

SecondsByKernel ReadKernelTimes(const std::string& path,
                                const std::string& machine) {
  absl::StatusOr<SecondsByKernel> times = Read(path, machine);
  if (times.ok()) return *std::move(times);
  LOG_IF(WARNING, !absl::IsNotFound(times.status()))
      << path << " is not used, and kernels are measured again: "
      << times.status().message();
  return {};
}

absl::Status AddKernelTimes(const std::string& path, const std::string& machine,
                            const SecondsByKernel& times) {
  SecondsByKernel all = Read(path, machine).value_or(SecondsByKernel());
  all.insert(times.begin(), times.end());
  KernelTimes message;
  message.set_machine(machine);
  for (const auto& [kernel, seconds] : all) {
    KernelTime* time = message.add_times();
    time->set_kernel(kernel);
    time->set_seconds(seconds);
  }
  std::string text;
  CHECK(google::protobuf::TextFormat::PrintToString(message, &text));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(),
                                      error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot make its folder: ", error.message()));
  }
  return placement::WriteFileAtomically(path, text);
}

}  // namespace facet::benchmarks
