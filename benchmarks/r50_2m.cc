// IResNet-50 with an ArcFace head of 2 million identities, trained for real:
// the row of arcface_torch's published table, on the devices at hand.

#include "benchmarks/train_main.h"

int main(int argc, char** argv) {
  facet::benchmarks::Preset preset;
  preset.program = "r50_2m";
  preset.usage =
      "Trains IResNet-50 (112x112, embedding 512) with an ArcFace head of "
      "2000000 classes and reports speed and memory.\n"
      "  bazel run //benchmarks:r50_2m -- --fp16";
  preset.classes = 2000000;
  return facet::benchmarks::TrainMain(argc, argv, preset, /*evaluate=*/false);
}
