// Where the compiler turns from data parallelism to a split head: head classes
// by devices, and the placement that it chooses for each. Nothing runs.
//
//   bazel run //benchmarks:crossover -- --hardware=v100_sxm2_32gb

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/compiled_model.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ops/graph/shard.h"
#include "ops/op_table.h"
#include "placement/simulate/hardware.h"

DEFINE_string(hardware, "v100_sxm2_32gb",
              "Devices to plan for: a profile's name or file "
              "(placement/simulate/hardware).");
DEFINE_string(network, "r50", "Backbone: r18, r34, r50, r100 or r200.");
DEFINE_int64(batch_per_device, 128, "Images per step and device.");
DEFINE_bool(fp16, true, "In half precision.");

namespace facet::benchmarks {
namespace {

// Bytes of all variables on a device, those of the optimizer included.
double VariableBytes(const placement::PlacedModel& placed, int devices) {
  double bytes = 0;
  for (size_t t = 0; t < placed.graph.tensors.size(); ++t) {
    const ops::Tensor& tensor = placed.graph.tensors[t];
    const ops::Node& producer = placed.graph.nodes[tensor.producer];
    if (!ops::FindOp(producer.op)->is_variable) continue;
    const ops::Region share =
        ops::LocalRegion(tensor.type.shape, placed.assignment.produced[t],
                         ops::Mesh{{devices}}, 0);
    bytes += static_cast<double>(share.shape.num_elements() *
                                 ops::SizeInBytes(tensor.type.dtype));
  }
  return bytes;
}

// "S(0)": the class weight is split over the classes; "B": every device has
// all of it. "!": its variables alone are more than a device's memory.
absl::StatusOr<std::string> Cell(int64_t classes, int devices,
                                 const placement::Hardware& hardware) {
  const ModelToCompile model = {
      .network = FLAGS_network,
      .classes = classes,
      .batch_per_device = FLAGS_batch_per_device,
      .precision = FLAGS_fp16 ? placement::Precision::kFloat16
                              : placement::Precision::kFloat32};
  absl::StatusOr<placement::PlacedModel> placed =
      PlaceModel(model, placement::ClusterOf(hardware, devices));
  if (!placed.ok()) return placed.status();
  std::string head, backbone;
  for (size_t t = 0; t < placed->graph.tensors.size(); ++t) {
    const std::string sbp = placed->assignment.produced[t].ToString();
    if (placed->graph.tensors[t].name == "head.weight") head = sbp;
    if (placed->graph.tensors[t].name == "layer3.0.conv1.weight") {
      backbone = sbp;
    }
  }
  const bool fits = VariableBytes(*placed, devices) <=
                    static_cast<double>(hardware.memory_bytes());
  return absl::StrCat(
      devices == 1 ? "-" : head,
      devices == 1 || backbone == "B" ? "" : "/" + backbone, fits ? "" : "!",
      absl::StrFormat(" %.0f ms", placed->assignment.seconds * 1e3));
}

int Run() {
  const absl::StatusOr<placement::Hardware> hardware =
      placement::ReadHardware(FLAGS_hardware);
  if (!hardware.ok()) {
    std::fprintf(stderr, "--hardware=%s: %s\n", FLAGS_hardware.c_str(),
                 std::string(hardware.status().message()).c_str());
    return 1;
  }
  const std::vector<int> devices = {1, 2, 4, 8, 16, 64, 256, 1024};
  std::printf(
      "%s on %s, %d images a device, %s: SBP of the head's class weight and "
      "the search's step.\nB: whole on every device (data parallel), S(0): "
      "split over the classes; backbones are data parallel, or /SBP; !: the "
      "variables alone need more memory than there is\n\n%10s",
      FLAGS_network.c_str(), hardware->name().c_str(),
      static_cast<int>(FLAGS_batch_per_device),
      FLAGS_fp16 ? "float16" : "float32", "classes");
  for (int count : devices) std::printf(" %13d", count);
  std::printf("\n");
  for (int64_t classes : {1'000, 3'000, 10'000, 30'000, 100'000, 617'970,
                          2'059'906, 10'000'000, 29'000'000}) {
    std::printf("%10d", static_cast<int>(classes));
    for (int count : devices) {
      const absl::StatusOr<std::string> cell = Cell(classes, count, *hardware);
      if (!cell.ok()) {
        std::fprintf(stderr, "%d classes, %d devices: %s\n",
                     static_cast<int>(classes), count,
                     std::string(cell.status().message()).c_str());
        return 1;
      }
      std::printf(" %13s", cell->c_str());
      std::fflush(stdout);
    }
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace facet::benchmarks

int main(int argc, char** argv) {
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return facet::benchmarks::Run();
}
