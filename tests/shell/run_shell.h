// Runs a program as a user does, and has what it said.
#ifndef FACET_TESTS_SHELL_RUN_SHELL_H_
#define FACET_TESTS_SHELL_RUN_SHELL_H_

#include <string>

namespace facet::tests {

struct Outcome {
  int exit_code = -1;  // -1: killed by a signal.
  std::string output;  // stdout and stderr.
};

// Waits for its end.
Outcome RunShell(const std::string& command);

}  // namespace facet::tests

#endif  // FACET_TESTS_SHELL_RUN_SHELL_H_
