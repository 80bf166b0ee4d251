// What ops have in common that take the state of lazily updated rows
// (decay_history.h) besides a weight [C, D]:
//
//   momentum  [C, D]      like weight, stored as float32 or bfloat16
//   updated   int32[C]    the step whose beginning the row is that of
//   history   f32[4, R]
#ifndef FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_OPERANDS_H_
#define FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_OPERANDS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/sgd_update/optimizer_operands.h"
#include "ops/status_macros.h"

namespace facet::ops {

// R of the optimizer's history.
inline constexpr int64_t kDecayHistorySteps = 4096;

inline absl::Status CheckHistory(const TensorType& history) {
  RETURN_IF_ERROR(
      ExpectType("history", history, DataType::kFloat32, 2, "[4, R]"));
  return ExpectSameType("history", history,
                        {DataType::kFloat32, {4, history.shape[1]}},
                        "four numbers for each step");
}

inline absl::Status CheckRowState(const TensorType& weight,
                                  const TensorType& momentum,
                                  const TensorType& updated,
                                  const TensorType& history) {
  RETURN_IF_ERROR(CheckState(weight, momentum));
  RETURN_IF_ERROR(ExpectSameType("updated", updated,
                                 {DataType::kInt32, {weight.shape[0]}},
                                 "one step per row of weight"));
  return CheckHistory(history);
}

// Of `updated` and `history` in the generic tests, whose step is 3: ages of 0
// to 3 steps.
inline InputDomain UpdatedDomain() { return {0, 4}; }
inline TensorType HistoryExample() { return {DataType::kFloat32, {4, 6}}; }

}  // namespace facet::ops

#endif  // FACET_OPS_SGD_UPDATE_ROWS_ROW_STATE_OPERANDS_H_
