#include "tests/training/small_training.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "glog/logging.h"
#include "models/face_head.h"
#include "models/iresnet.h"
#include "models/layers.h"
#include "ops/cpu_kernels.h"
#include "ops/graph_builder.h"
#include "ops/half.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "ops/testing/interpreter.h"
#include "placement/cluster.h"
#include "placement/passes/append_optimizer.h"
#include "placement/passes/autodiff.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/data/synthetic.h"
#include "runtime/device/cpu_device.h"
#include "runtime/processes/in_memory.h"

namespace facet::tests {
namespace {

using ops::TensorId;

struct Model {
  ops::Graph graph;
  TensorId loss = ops::kNone;
};

absl::StatusOr<TensorId> AddBackbone(const SmallTraining& t, TensorId images,
                                     ops::GraphBuilder* builder) {
  if (t.iresnet) {
    models::IResNetConfig config;
    config.blocks = {1, 1, 1, 1};
    config.widths = {8, 8, 16, 16};
    config.embedding = 16;
    config.bn_groups = t.bn_groups;
    ASSIGN_OR_RETURN(const models::IResNet network,
                     models::AddIResNet(config, images, builder));
    // At a slope of 1 a PReLU has no kink. At the usual 0.25, and with a
    // million activations, rounding puts one of them on the other side of it
    // within a few steps, and one pixel's gradient is 1e-3 of some weights'.
    for (ops::Node& node : builder->mutable_graph()->nodes) {
      if (absl::EndsWith(node.name, "prelu.weight")) {
        node.attributes.Set("value", 1.0);
      }
    }
    return network.features;
  }
  models::LayerBuilder layers("backbone", builder);
  models::BatchNormOptions bn;
  bn.groups = t.bn_groups;
  TensorId x;
  if (t.tiny) {
    x = layers.Conv("conv1", images, 8, 3, 16, 1);
    x = layers.Prelu("prelu1", layers.BatchNorm("bn1", x, bn));
    layers.set_keep_float32(true);
    x = layers.Add("flatten", "flatten", "flatten", {x});
    x = layers.Linear("fc", x, 8);
    RETURN_IF_ERROR(builder->status());
    return x;
  }
  x = layers.Conv("conv1", images, 8, 3, 4, 1);
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
  RETURN_IF_ERROR(builder->status());
  return x;
}

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
  ASSIGN_OR_RETURN(const TensorId features, AddBackbone(t, batch[0], &builder));
  models::FaceHeadConfig head;
  head.classes = t.classes;
  head.sample_rate = t.sample_rate;
  head.class_groups = t.class_groups > 0 ? t.class_groups : t.devices;
  head.storage = t.storage;
  ASSIGN_OR_RETURN(const models::FaceHead added,
                   models::AddFaceHead(head, features, batch[1], &builder));
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
      constexpr int64_t kPixels = int64_t{3} * 112 * 112;
      const int64_t from = std::max(begin, training_.spoiled_from);
      for (int64_t i = (from - begin) * kPixels; i < (end - begin) * kPixels;
           ++i) {
        images[i] *= training_.spoil;
      }
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

placement::Cluster SmallCluster(const SmallTraining& t) {
  placement::DeviceSpec device;
  device.kind = t.backend.kind;
  placement::Cluster cluster =
      placement::UniformCluster(t.devices, device, placement::MeshAxis{});
  if (!t.mesh.empty()) {
    cluster = placement::Arranged(std::move(cluster), t.mesh);
    // Slower outside, so that the placements of the axes differ.
    cluster.mesh[0].bytes_per_second /= 10;
  }
  cluster.kernels = t.backend.kernels;
  cluster.kernel_timer = t.kernel_timer;
  cluster.host_memory_bytes = t.host_memory_bytes;
  return cluster;
}

}  // namespace

absl::StatusOr<placement::Plan> CompileSmall(const SmallTraining& t) {
  ASSIGN_OR_RETURN(const Model model, BuildSmall(t));
  placement::CompileOptions options = t.options;
  options.loss = model.loss;
  return placement::Compile(model.graph, SmallCluster(t), options);
}

absl::StatusOr<TrainingResult> Train(const SmallTraining& t) {
  ASSIGN_OR_RETURN(placement::Plan plan, CompileSmall(t));
  ASSIGN_OR_RETURN(TrainingResult result, RunPlan(t, plan));
  result.plan = std::move(plan);
  return result;
}

namespace {

// In one process: `devices` by number, null where another has it.
absl::StatusOr<TrainingResult> RunProcess(
    const SmallTraining& t, const placement::Plan& plan,
    const std::vector<runtime::Device*>& devices,
    runtime::ProcessGroup* processes) {
  TrainingResult result;
  Source source(t);
  Losses losses;
  runtime::SessionOptions options;
  options.seed = t.seed;
  options.data_source = &source;
  options.fetch_sink = &losses;
  options.stall_timeout = t.stall_timeout;
  options.replay = t.replay;
  options.check_finite = t.check_finite;
  options.processes = processes;
  if (!t.resume.empty()) {
    ASSIGN_OR_RETURN(options.first_step, runtime::CheckpointStep(t.resume));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Session> session,
                   runtime::Session::Create(plan, devices, options));
  if (!t.resume.empty()) {
    RETURN_IF_ERROR(runtime::LoadCheckpoint(t.resume, session.get()));
  }
  RETURN_IF_ERROR(session->Run(t.read_after));
  if (t.read_after > 0) {
    for (const std::string& name : session->VariableNames()) {
      ASSIGN_OR_RETURN(const runtime::HostTensor value,
                       session->ReadVariable(name));
      RETURN_IF_ERROR(session->WriteVariable(name, value));
    }
  }
  RETURN_IF_ERROR(session->Run(t.steps - t.read_after));
  result.losses = losses.losses;
  result.first_non_finite = session->FirstNonFinite(-1);
  if (!t.checkpoint.empty()) {
    RETURN_IF_ERROR(runtime::SaveCheckpoint(
        t.checkpoint, options.first_step + t.steps, {}, session.get()));
  }
  for (const std::string& name : session->VariableNames()) {
    ASSIGN_OR_RETURN(result.variables[name], session->ReadVariable(name));
  }
  return result;
}

}  // namespace

absl::StatusOr<TrainingResult> RunPlan(const SmallTraining& t,
                                       const placement::Plan& plan) {
  ASSIGN_OR_RETURN(const auto owned, t.backend.create_devices(t.devices));
  auto devices_of = [&](const runtime::ProcessGroup* process) {
    std::vector<runtime::Device*> devices;
    for (int d = 0; d < t.devices; ++d) {
      const bool here =
          process == nullptr ||
          runtime::ProcessOfDevice(d, t.devices, process) == process->rank();
      devices.push_back(here ? owned[d].get() : nullptr);
    }
    return devices;
  };
  if (t.processes == 0)
    return RunProcess(t, plan, devices_of(nullptr), nullptr);
  const auto processes = runtime::CreateInMemoryProcesses(t.processes);
  std::vector<absl::StatusOr<TrainingResult>> results(
      t.processes, absl::UnknownError("it has not run"));
  std::vector<std::thread> threads;
  for (int p = 0; p < t.processes; ++p) {
    threads.emplace_back([&, p] {
      runtime::ProcessGroup* process = processes[p].get();
      results[p] = RunProcess(t, plan, devices_of(process), process);
      if (!results[p].ok()) process->Abort();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) RETURN_IF_ERROR(result.status());
  return std::move(results[0]);
}

absl::StatusOr<TrainingResult> Interpret(const SmallTraining& t) {
  ASSIGN_OR_RETURN(const Model model, BuildSmall(t));
  ASSIGN_OR_RETURN(placement::DifferentiatedGraph differentiated,
                   placement::Autodiff(model.graph, model.loss,
                                       /*loss_scale_initial=*/0, ops::FindOp));
  ASSIGN_OR_RETURN(
      const ops::Graph graph,
      placement::AppendOptimizer(std::move(differentiated), t.options.optimizer,
                                 ops::FindOp));
  Source source(t);
  Losses losses;
  ops::RunOptions options;
  options.seed = t.seed;
  options.data_source = &source;
  options.fetch_sink = &losses;
  ASSIGN_OR_RETURN(ops::Interpreter interpreter,
                   ops::Interpreter::Create(&graph, ops::FindOp,
                                            &ops::CpuKernels(), options));
  for (int64_t step = 0; step < t.steps; ++step) {
    RETURN_IF_ERROR(interpreter.Step());
  }
  TrainingResult result;
  result.losses = losses.losses;
  for (const ops::Node& node : graph.nodes) {
    if (!ops::FindOp(node.op)->is_variable) continue;
    const TensorId tensor = node.outputs[0];
    const ops::HostValue& value = interpreter.value(tensor);
    runtime::HostTensor& variable =
        result.variables[graph.tensors[tensor].name];
    variable.dtype = value.slice().dtype;
    variable.shape = value.slice().shape;
    const char* data = value.as<char>();
    variable.data.assign(data, data + value.slice().size_bytes());
  }
  return result;
}

std::vector<double> Doubles(const runtime::HostTensor& tensor) {
  const int64_t count = tensor.shape.num_elements();
  return ops::VisitFloating(tensor.dtype, [&](auto zero) {
    const auto* values = tensor.as<decltype(zero)>();
    std::vector<double> doubles;
    for (int64_t i = 0; i < count; ++i) {
      doubles.push_back(static_cast<float>(values[i]));
    }
    return doubles;
  });
}

double RelativeDifference(const runtime::HostTensor& a,
                          const runtime::HostTensor& b, double least) {
  CHECK(a.shape == b.shape) << a.shape.ToString() << b.shape.ToString();
  const std::vector<double> x = Doubles(a), y = Doubles(b);
  double difference = 0, largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference = std::max(difference, std::abs(x[i] - y[i]));
    largest = std::max(largest, std::abs(x[i]));
  }
  return difference / std::max(largest, least);
}

}  // namespace facet::tests
