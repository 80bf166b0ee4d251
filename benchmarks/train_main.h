// TrainMain: main() of the training programs.
#ifndef FACET_BENCHMARKS_TRAIN_MAIN_H_
#define FACET_BENCHMARKS_TRAIN_MAIN_H_

#include "benchmarks/settings.h"

namespace facet::benchmarks {

// Trains, reports, and with `evaluate` tests on the held-out photographs.
// Returns the process's exit code; errors go to stderr.
int TrainMain(int argc, char** argv, const Preset& preset, bool evaluate);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TRAIN_MAIN_H_
