// The rows of arcface_torch's published tables, trained for real on this
// machine, each in a process of its own: this program, started again as a
// training program.

#include <cstring>

#include "benchmarks/rows/rows_main.h"
#include "benchmarks/train_main.h"

int main(int argc, char** argv) {
  constexpr char kTrain[] = "train";
  if (argc < 2 || std::strcmp(argv[1], kTrain) != 0) {
    return facet::benchmarks::RowsMain(argc, argv, kTrain);
  }
  argv[1] = argv[0];
  facet::benchmarks::Preset preset;
  preset.program = "published_rows train";
  preset.usage = "Trains one row: see r50_2m.";
  return facet::benchmarks::TrainMain(argc - 1, argv + 1, preset,
                                      /*evaluate=*/false);
}
