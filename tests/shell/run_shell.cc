#include "tests/shell/run_shell.h"

#include <sys/wait.h>

#include <cstdio>

#include "glog/logging.h"

namespace facet::tests {

Outcome RunShell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  CHECK(pipe != nullptr);
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, n);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

}  // namespace facet::tests
