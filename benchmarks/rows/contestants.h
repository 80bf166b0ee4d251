// The command lines of a row's contestants.
#ifndef FACET_BENCHMARKS_ROWS_CONTESTANTS_H_
#define FACET_BENCHMARKS_ROWS_CONTESTANTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/rows/row.h"

namespace facet::benchmarks {

struct Contestants {
  std::vector<std::string> training;  // Our training program, before its flags.
  std::string python;                 // The interpreter that has PyTorch.
  std::string peer_script;            // tools/peer/train_speed.py.
  std::string peer;                   // Folder arcface_torch; empty: none.
  int cores = 1;
  std::string device_kind = "cpu";  // Ours, as is the next.
  int devices = 1;
  int64_t steps = 1;
  int64_t warmup = 0;
};

// Trains `row` and writes its figures as JSON to that file.
std::vector<std::string> OurCommand(const Contestants& contestants,
                                    const Row& row, const std::string& json);
// The row's opponent doing the same.
std::vector<std::string> OpponentCommand(const Contestants& contestants,
                                         const Row& row,
                                         const std::string& json);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_CONTESTANTS_H_
