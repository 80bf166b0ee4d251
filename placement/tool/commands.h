// The commands of the plan tool, as functions of their arguments: main.cc
// prints what they return.
#ifndef FACET_PLACEMENT_TOOL_COMMANDS_H_
#define FACET_PLACEMENT_TOOL_COMMANDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace facet::placement {

struct Invocation {
  std::vector<std::string> arguments;  // What is no flag.
  int width = 100;                     // Columns of the terminal.
};

struct Command {
  std::string name;
  std::string arguments;  // "[FILE]", for the help text.
  std::string summary;    // One line.
  std::string details;    // For its --help.
  std::vector<std::string> flags;
  // What to print; an error ends the program with exit code 1.
  std::function<absl::StatusOr<std::string>(const Invocation&)> run;
};

Command ShowCommand();
Command VerifyCommand();
Command DiffCommand();
Command ExplainCommand();
Command SimulateCommand();

// Runs a command line (without the program's name). What is to be printed, or
// an error: an unknown command lists all there are.
absl::StatusOr<std::string> RunPlanTool(absl::Span<const std::string> arguments,
                                        int width);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_TOOL_COMMANDS_H_
