#include "benchmarks/rows/contestants.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace facet::benchmarks {
namespace {

// The flags that our programs and the peer's script have in common.
void AppendRow(const Contestants& c, const Row& row, const std::string& json,
               std::vector<std::string>* command) {
  command->push_back(absl::StrCat("--classes=", row.classes));
  command->push_back(absl::StrCat("--batch_size=", row.batch_size));
  command->push_back(absl::StrCat("--steps=", c.steps));
  command->push_back(absl::StrCat("--warmup=", c.warmup));
  if (row.half) command->push_back("--fp16");
  if (row.partial_fc()) {
    command->push_back(absl::StrFormat("--partial_fc=%g", row.sample_rate));
  }
  command->push_back(absl::StrCat("--json=", json));
}

std::vector<std::string> TrainingCommand(const Contestants& c, const Row& row,
                                         int devices, const std::string& json) {
  std::vector<std::string> command = c.training;
  command.push_back(absl::StrCat("--devices=", c.device_kind, ":", devices));
  if (row.half_state) {
    command.push_back("--weight_type=bfloat16");
    command.push_back("--momentum_type=bfloat16");
  }
  AppendRow(c, row, json, &command);
  return command;
}

}  // namespace

std::vector<std::string> OurCommand(const Contestants& c, const Row& row,
                                    const std::string& json) {
  // A comparison of numbers of devices has its own.
  const int devices = row.opponent == Opponent::kOneDevice ? 2 : c.devices;
  return TrainingCommand(c, row, devices, json);
}

std::vector<std::string> OpponentCommand(const Contestants& c, const Row& row,
                                         const std::string& json) {
  if (row.opponent == Opponent::kOneDevice) {
    return TrainingCommand(c, row, 1, json);
  }
  std::vector<std::string> command = {c.python, c.peer_script,
                                      absl::StrCat("--peer=", c.peer),
                                      absl::StrCat("--device=", c.device_kind),
                                      absl::StrCat("--threads=", c.cores)};
  AppendRow(c, row, json, &command);
  return command;
}

}  // namespace facet::benchmarks
