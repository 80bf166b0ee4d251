// Trains on a folder of photographs, one sub-folder per person, holds some of
// each person's back, and reports how well those are recognised.

#include "benchmarks/train_main.h"

int main(int argc, char** argv) {
  facet::benchmarks::Preset preset;
  preset.program = "faces";
  preset.usage =
      "Trains a face recogniser on a folder of photographs, one sub-folder "
      "per person, and tests it on photographs it has not seen.\n"
      "  bazel run //benchmarks:faces -- --data=PATH";
  preset.network = "r18";
  preset.classes = 0;
  preset.batch_size = 32;
  preset.steps = 80;
  preset.warmup = 0;
  preset.learning_rate = 0.05;
  preset.lr_warmup = 10;
  preset.lr_decay = true;
  preset.margin = "1,0.2,0";
  preset.data = "";
  // The same training on any number of devices.
  preset.sync_bn = true;
  preset.max_shift = 6;
  return facet::benchmarks::TrainMain(argc, argv, preset, /*evaluate=*/true);
}
