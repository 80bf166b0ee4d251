#include "tests/boxing/run_boxing.h"

#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "ops/testing/cuda_on_host.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/cuda_device.h"

namespace facet::placement {
namespace {

using ops::DataType;
using ops::HostValue;
using ops::TensorSlice;
using ops::TensorType;

TensorSlice SliceOf(const BoxingValue& value, const TensorType& type) {
  TensorSlice slice;
  slice.dtype = type.dtype;
  slice.shape = value.region.shape;
  slice.offset = value.region.offset;
  slice.global_shape = value.packed ? value.region.shape : type.shape;
  return slice;
}

runtime::ReduceOp ToReduceOp(ReduceKind reduce) {
  return reduce == ReduceKind::kMax ? runtime::ReduceOp::kMax
                                    : runtime::ReduceOp::kSum;
}

class OnCpu : public BoxingMachine {
 public:
  const ops::KernelLibrary& kernels() const override {
    return ops::CpuKernels();
  }
  absl::StatusOr<std::vector<std::unique_ptr<runtime::Communicator>>>
  CreateCommunicators(const std::vector<int>& devices) override {
    return runtime::CreateSharedMemoryCommunicators(
        static_cast<int>(devices.size()));
  }
  absl::Status Run(int /*device*/, const HostValue* in, HostValue* out,
                   const Collective& collective) override {
    runtime::Stream stream;
    return collective(stream, in == nullptr ? nullptr : in->view().data,
                      out == nullptr ? nullptr : out->view().data);
  }
};

class OnCuda : public BoxingMachine {
 public:
  explicit OnCuda(std::vector<std::unique_ptr<runtime::Device>> devices)
      : devices_(std::move(devices)) {}

  const ops::KernelLibrary& kernels() const override {
    return ops::CudaKernelsOnHost();
  }
  absl::StatusOr<std::vector<std::unique_ptr<runtime::Communicator>>>
  CreateCommunicators(const std::vector<int>& devices) override {
    std::vector<runtime::Device*> group;
    for (int d : devices) group.push_back(devices_[d].get());
    return group[0]->CreateCommunicators(group, {});
  }
  absl::Status Run(int device, const HostValue* in, HostValue* out,
                   const Collective& collective) override {
    runtime::Device& on = *devices_[device];
    RETURN_IF_ERROR(on.EnterStream(ops::StreamKind::kCommunication));
    ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Stream> stream,
                     on.CreateStream(ops::StreamKind::kCommunication));
    std::unique_ptr<runtime::Arena> in_arena, out_arena;
    if (in != nullptr) {
      ASSIGN_OR_RETURN(in_arena, on.Allocate(in->slice().size_bytes()));
      RETURN_IF_ERROR(on.CopyFromHost(in->view().data, in_arena->data(),
                                      in->slice().size_bytes()));
    }
    if (out != nullptr) {
      ASSIGN_OR_RETURN(out_arena, on.Allocate(out->slice().size_bytes()));
    }
    RETURN_IF_ERROR(
        collective(*stream, in_arena == nullptr ? nullptr : in_arena->data(),
                   out_arena == nullptr ? nullptr : out_arena->data()));
    RETURN_IF_ERROR(stream->Synchronize());
    if (out == nullptr) return absl::OkStatus();
    return on.CopyToHost(out_arena->data(), out->view().data,
                         out->slice().size_bytes());
  }

 private:
  const std::vector<std::unique_ptr<runtime::Device>> devices_;
};

absl::Status RunCollective(const BoxingProgram& program, const BoxingTask& task,
                           DataType dtype, int64_t elements,
                           runtime::Stream& stream, const void* in, void* out,
                           runtime::Communicator* communicator) {
  const runtime::ReduceOp reduce = ToReduceOp(program.reduce);
  switch (program.kind) {
    case CollectiveKind::kAllReduce:
      return communicator->AllReduce(stream, reduce,
                                     {{dtype, in, out, elements}});
    case CollectiveKind::kAllGather:
      return communicator->AllGather(stream, dtype, in, out, task.counts);
    case CollectiveKind::kReduceScatter:
      return communicator->ReduceScatter(stream, reduce, dtype, in, out,
                                         task.counts);
    case CollectiveKind::kAllToAll:
      return communicator->AllToAll(stream, dtype, in, out, task.counts,
                                    task.receive_counts);
    case CollectiveKind::kNone:
      break;
  }
  return absl::InternalError("a collective task in a local program");
}

// One program, its values, and a communicator for each of its devices.
struct Run {
  const BoxingProgram* program = nullptr;
  std::vector<HostValue> values;
  std::map<int, std::unique_ptr<runtime::Communicator>> communicators;
  std::map<int, absl::Status> status;  // Of collectives, by device.
};

absl::Status RunLocal(const BoxingTask& task, const TensorType& type,
                      BoxingMachine& machine, Run* run) {
  const ops::OpDef* def = ops::FindOp(task.op);
  if (def == nullptr) {
    return absl::InternalError(absl::StrCat("no op ", task.op));
  }
  std::vector<HostValue> inputs;
  if (task.input != ops::kNone) inputs.push_back(run->values[task.input]);
  ASSIGN_OR_RETURN(
      const std::vector<HostValue> outputs,
      ops::RunOp(*def, task.attributes, inputs,
                 {SliceOf(run->program->values[task.output], type)}, {},
                 machine.kernels()));
  run->values[task.output] = outputs[0];
  return absl::OkStatus();
}

absl::Status RunCollectiveTask(const BoxingTask& task, const TensorType& type,
                               BoxingMachine& machine, Run* run) {
  const HostValue* in =
      task.input == ops::kNone ? nullptr : &run->values[task.input];
  HostValue* out = nullptr;
  if (task.output != ops::kNone) {
    out = &run->values[task.output];
    *out = HostValue(SliceOf(run->program->values[task.output], type));
  }
  return machine.Run(task.device, in, out,
                     [&](runtime::Stream& stream, const void* from, void* to) {
                       return RunCollective(
                           *run->program, task, type.dtype,
                           in == nullptr ? 0 : in->slice().num_elements(),
                           stream, from, to,
                           run->communicators.at(task.device).get());
                     });
}

}  // namespace

absl::StatusOr<std::map<int, HostValue>> RunBoxing(
    const std::vector<BoxingProgram>& programs, const TensorType& type,
    const std::map<int, HostValue>& shares, BoxingMachine& machine) {
  std::vector<Run> runs(programs.size());
  for (size_t p = 0; p < programs.size(); ++p) {
    const BoxingProgram& program = programs[p];
    Run& run = runs[p];
    run.program = &program;
    run.values.resize(program.values.size());
    for (int v : program.inputs) {
      run.values[v] = shares.at(program.values[v].device);
    }
    if (program.group.empty()) continue;
    ASSIGN_OR_RETURN(auto by_rank, machine.CreateCommunicators(program.group));
    for (size_t r = 0; r < program.group.size(); ++r) {
      run.communicators[program.group[r]] = std::move(by_rank[r]);
    }
  }
  // A device has at most one collective. Local tasks come before it or after.
  auto run_local = [&](bool before) -> absl::Status {
    for (Run& run : runs) {
      std::set<int> met;  // Devices whose collective has come.
      for (const BoxingTask& task : run.program->tasks) {
        if (task.op.empty()) {
          met.insert(task.device);
        } else if (before != met.contains(task.device)) {
          RETURN_IF_ERROR(RunLocal(task, type, machine, &run));
        }
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(run_local(/*before=*/true));
  std::vector<std::thread> threads;
  for (Run& run : runs) {
    for (const BoxingTask& task : run.program->tasks) {
      if (!task.op.empty()) continue;
      threads.emplace_back([&, status = &run.status[task.device]] {
        *status = RunCollectiveTask(task, type, machine, &run);
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (const Run& run : runs) {
    for (const auto& [device, status] : run.status) RETURN_IF_ERROR(status);
  }
  RETURN_IF_ERROR(run_local(/*before=*/false));
  std::map<int, HostValue> results;
  for (const Run& run : runs) {
    for (int v : run.program->outputs) {
      results[run.program->values[v].device] = run.values[v];
    }
  }
  return results;
}

std::unique_ptr<BoxingMachine> CpuMachine() {
  return std::make_unique<OnCpu>();
}

absl::StatusOr<std::unique_ptr<BoxingMachine>> CudaMachine(int num_devices) {
  ASSIGN_OR_RETURN(const auto there, runtime::CudaDevices());
  if (static_cast<int>(there.size()) < num_devices) {
    return absl::FailedPreconditionError(
        absl::StrCat("this machine has ", there.size(),
                     " CUDA devices, the case needs ", num_devices));
  }
  ASSIGN_OR_RETURN(auto devices, runtime::CreateCudaDevices(num_devices));
  return std::make_unique<OnCuda>(std::move(devices));
}

HostValue IntegersOf(const TensorType& type) {
  HostValue whole = HostValue::Whole(type);
  std::vector<double> values(type.shape.num_elements());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>((i * 37 + 11) % 61) - 30;
  }
  whole.FromDoubles(values);
  return whole;
}

void ExpectSameValue(const HostValue& got, const HostValue& want,
                     bool was_partial_sum) {
  const std::vector<double> a = got.ToDoubles();
  const std::vector<double> b = want.ToDoubles();
  if (!was_partial_sum) {
    EXPECT_EQ(a, b);
    return;
  }
  ASSERT_EQ(a.size(), b.size());
  const DataType dtype = want.slice().dtype;
  double tolerance = 0;
  if (dtype == DataType::kFloat32) tolerance = 30 * 1e-6;
  if (dtype == DataType::kFloat16) tolerance = 30 * 4e-3;
  if (dtype == DataType::kBFloat16) tolerance = 30 * 3e-2;
  for (size_t i = 0; i < b.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], tolerance) << "element " << i;
  }
}

}  // namespace facet::placement
