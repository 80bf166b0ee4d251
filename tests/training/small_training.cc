#include "tests/training/small_training.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>

#include "glog/logging.h"
#include "models/face_head.h"
#include "models/layers.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/cluster.h"
#include "runtime/data/synthetic.h"
#include "runtime/device/cpu_device.h"

namespace facet::tests {
namespace {

using ops::TensorId;

struct Model {
  ops::Graph graph;
  TensorId loss = ops::kNone;
};

absl::StatusOr<Model> BuildSmall(const SmallTraining& t) {
  Model model;
  model.graph.name = "small";
  ops::GraphBuilder builder(&model.graph, ops::FindOp);
  ops::Origin origin;
  origin.part = "data";
  origin.phase = ops::Phase::kData;
  builder.set_origin(origin);
  ASSIGN_OR_RETURN(const std::vector<TensorId> batch,
                   builder.Add("image_source", "images", {},
                               {{"batch_size", t.batch_size}}));
  models::LayerBuilder layers("backbone", &builder);
  models::BatchNormOptions bn;
  bn.groups = t.bn_groups;
  TensorId x = layers.Conv("conv1", batch[0], 8, 3, 4, 1);
  x = layers.Prelu("prelu1", layers.BatchNorm("bn1", x, bn));
  TensorId y = layers.Conv("conv2", x, 16, 3, 4, 1);
  y = layers.BatchNorm("bn2", y, bn);
  TensorId shortcut = layers.Conv("downsample", x, 16, 1, 4, 0);
  x = layers.Add("add", "add", "add", {y, shortcut});
  x = layers.Prelu("prelu2", x);
  layers.set_keep_float32(true);
  x = layers.Add("flatten", "flatten", "flatten", {x});
  x = layers.Linear("fc", x, 16);
  x = layers.BatchNorm("features", x, bn);
  RETURN_IF_ERROR(builder.status());
  models::FaceHeadConfig head;
  head.classes = t.classes;
  ASSIGN_OR_RETURN(const models::FaceHead added,
                   models::AddFaceHead(head, x, batch[1], &builder));
  builder.Add1("fetch", "fetch_loss", {added.loss},
               {{"name", std::string("loss")}});
  RETURN_IF_ERROR(builder.status());
  model.loss = added.loss;
  return model;
}

// Synthetic images, the same in every step or spoiled in one, if asked.
class Source : public ops::DataSource {
 public:
  explicit Source(const SmallTraining& t) : training_(t) {
    inner_ =
        *runtime::CreateSyntheticSource({.classes = t.classes, .seed = t.seed});
  }
  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    RETURN_IF_ERROR(inner_->Read(training_.same_batch ? 0 : step, begin, end,
                                 images, labels));
    if (step == training_.spoiled_step) {
      const int64_t count = (end - begin) * 3 * 112 * 112;
      for (int64_t i = 0; i < count; ++i) images[i] *= training_.spoil;
    }
    return absl::OkStatus();
  }

 private:
  const SmallTraining& training_;
  std::unique_ptr<ops::DataSource> inner_;
};

class Losses : public ops::FetchSink {
 public:
  absl::Status OnFetch(int64_t, absl::string_view name, int,
                       const ops::TensorView& value) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (name == "loss") losses.push_back(*value.as<float>());
    return absl::OkStatus();
  }
  std::vector<float> losses;

 private:
  std::mutex mutex_;
};

placement::Cluster SmallCluster(int devices) {
  placement::DeviceSpec device;
  device.kind = "cpu";
  placement::Cluster cluster =
      placement::UniformCluster(devices, device, placement::MeshAxis{});
  cluster.kernels = &ops::CpuKernels();
  return cluster;
}

}  // namespace

absl::StatusOr<placement::Plan> CompileSmall(const SmallTraining& t) {
  ASSIGN_OR_RETURN(const Model model, BuildSmall(t));
  placement::CompileOptions options = t.options;
  options.loss = model.loss;
  return placement::Compile(model.graph, SmallCluster(t.devices), options);
}

absl::StatusOr<TrainingResult> Train(const SmallTraining& t) {
  TrainingResult result;
  ASSIGN_OR_RETURN(result.plan, CompileSmall(t));
  ASSIGN_OR_RETURN(const auto owned, runtime::CreateCpuDevices(t.devices));
  std::vector<runtime::Device*> devices;
  for (const auto& device : owned) devices.push_back(device.get());
  Source source(t);
  Losses losses;
  runtime::SessionOptions options;
  options.seed = t.seed;
  options.data_source = &source;
  options.fetch_sink = &losses;
  ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Session> session,
                   runtime::Session::Create(result.plan, devices, options));
  RETURN_IF_ERROR(session->Run(t.steps));
  result.losses = losses.losses;
  for (const std::string& name : session->VariableNames()) {
    ASSIGN_OR_RETURN(result.variables[name], session->ReadVariable(name));
  }
  return result;
}

double RelativeDifference(const runtime::HostTensor& a,
                          const runtime::HostTensor& b) {
  CHECK(a.shape == b.shape) << a.shape.ToString() << b.shape.ToString();
  double difference = 0, largest = 0;
  for (int64_t i = 0; i < a.shape.num_elements(); ++i) {
    const double x = a.as<float>()[i], y = b.as<float>()[i];
    difference = std::max(difference, std::abs(x - y));
    largest = std::max(largest, std::abs(x));
  }
  // Gradients that are 0 but for rounding (of a bias before a batch norm) have
  // no relative accuracy.
  constexpr double kRounding = 1e-3;
  return difference / std::max(largest, kRounding);
}

}  // namespace facet::tests
