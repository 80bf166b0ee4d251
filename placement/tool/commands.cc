#include "placement/tool/commands.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ops/status_macros.h"
#include "placement/tool/command_line.h"

namespace facet::placement {
namespace {

constexpr char kProgram[] = "bazel run //placement:plan --";

const std::vector<Command>& AllCommands() {
  static const auto& commands =
      *new std::vector<Command>{ShowCommand(), VerifyCommand(), DiffCommand(),
                                ExplainCommand(), SimulateCommand()};
  return commands;
}

std::string Help() {
  std::string text = absl::StrCat(
      "Placement plans: how the compiler lays a model out over devices.\n\n",
      "usage: ", kProgram, " COMMAND [ARGUMENTS] [--flags]\n\ncommands:\n");
  for (const Command& command : AllCommands()) {
    absl::StrAppend(&text, absl::StrFormat("  %-24s %s\n",
                                           absl::StrCat(command.name, " ",
                                                        command.arguments),
                                           command.summary));
  }
  absl::StrAppend(&text, "\nCOMMAND --help lists its flags.\n");
  return text;
}

std::string CommandHelp(const Command& command, int width) {
  return absl::StrCat("usage: ", kProgram, " ", command.name, " ",
                      command.arguments, " [--flags]\n\n",
                      Wrap(command.details, width, 0), "\n\nflags:\n",
                      FlagsHelp(command.flags, width));
}

bool IsHelp(const std::string& argument) {
  return argument == "--help" || argument == "-help" || argument == "-h";
}

}  // namespace

absl::StatusOr<std::string> RunPlanTool(absl::Span<const std::string> arguments,
                                        int width) {
  if (arguments.empty() || arguments[0] == "help" || IsHelp(arguments[0])) {
    return Help();
  }
  const auto command =
      std::find_if(AllCommands().begin(), AllCommands().end(),
                   [&](const Command& c) { return c.name == arguments[0]; });
  if (command == AllCommands().end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no command \"", arguments[0], "\"; commands are ",
        absl::StrJoin(AllCommands(), ", ",
                      [](std::string* out, const Command& c) {
                        absl::StrAppend(out, c.name);
                      })));
  }
  const auto rest = arguments.subspan(1);
  if (std::any_of(rest.begin(), rest.end(), IsHelp)) {
    return CommandHelp(*command, width);
  }
  Invocation invocation;
  invocation.width = width;
  ASSIGN_OR_RETURN(invocation.arguments, SetFlags(rest, command->flags));
  return command->run(invocation);
}

}  // namespace facet::placement
