// RETURN_IF_ERROR and ASSIGN_OR_RETURN, which Abseil leaves to its users.
#ifndef FACET_OPS_STATUS_MACROS_H_
#define FACET_OPS_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RETURN_IF_ERROR(expression)                                     \
  do {                                                                  \
    if (absl::Status facet_status = (expression); !facet_status.ok()) { \
      return facet_status;                                              \
    }                                                                   \
  } while (false)

// ASSIGN_OR_RETURN(int x, StatusOrInt()); declares x or returns the error.
#define ASSIGN_OR_RETURN(target, expression)                                \
  FACET_ASSIGN_OR_RETURN_(FACET_CONCAT_(facet_statusor_, __LINE__), target, \
                          expression)

#define FACET_CONCAT_INNER_(a, b) a##b
#define FACET_CONCAT_(a, b) FACET_CONCAT_INNER_(a, b)
#define FACET_ASSIGN_OR_RETURN_(statusor, target, expression) \
  auto statusor = (expression);                               \
  if (!statusor.ok()) return std::move(statusor).status();    \
  target = *std::move(statusor)

#endif  // FACET_OPS_STATUS_MACROS_H_
