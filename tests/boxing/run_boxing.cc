#include "tests/boxing/run_boxing.h"

#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/cpu_kernels.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "runtime/collectives/shared_memory.h"
#include "runtime/device/device.h"

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

absl::Status RunCollective(const BoxingProgram& program, const BoxingTask& task,
                           DataType dtype, int64_t elements, const void* in,
                           void* out, runtime::Communicator* communicator) {
  const runtime::ReduceOp reduce = ToReduceOp(program.reduce);
  runtime::Stream stream;
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

// Runs the program's tasks of one device in order.
absl::Status RunDevice(const BoxingProgram& program, const TensorType& type,
                       int device, runtime::Communicator* communicator,
                       std::vector<HostValue>* values) {
  for (const BoxingTask& task : program.tasks) {
    if (task.device != device) continue;
    std::vector<HostValue> inputs;
    if (task.input != ops::kNone) inputs.push_back((*values)[task.input]);
    if (!task.op.empty()) {
      const ops::OpDef* def = ops::FindOp(task.op);
      if (def == nullptr) {
        return absl::InternalError(absl::StrCat("no op ", task.op));
      }
      ASSIGN_OR_RETURN(const std::vector<HostValue> outputs,
                       ops::RunOp(*def, task.attributes, inputs,
                                  {SliceOf(program.values[task.output], type)},
                                  {}, ops::CpuKernels()));
      (*values)[task.output] = outputs[0];
      continue;
    }
    const void* in = inputs.empty() ? nullptr : inputs[0].view().data;
    void* out = nullptr;
    if (task.output != ops::kNone) {
      (*values)[task.output] =
          HostValue(SliceOf(program.values[task.output], type));
      out = (*values)[task.output].view().data;
    }
    RETURN_IF_ERROR(
        RunCollective(program, task, type.dtype,
                      inputs.empty() ? 0 : inputs[0].slice().num_elements(), in,
                      out, communicator));
  }
  return absl::OkStatus();
}

// One program, its values, and a communicator for each of its devices.
struct Run {
  std::vector<HostValue> values;
  std::map<int, std::unique_ptr<runtime::Communicator>> communicators;
  std::map<int, absl::Status> status;  // By device.
};

}  // namespace

absl::StatusOr<std::map<int, HostValue>> RunBoxing(
    const std::vector<BoxingProgram>& programs, const TensorType& type,
    const std::map<int, HostValue>& shares) {
  std::vector<Run> runs(programs.size());
  std::vector<std::thread> threads;
  for (size_t p = 0; p < programs.size(); ++p) {
    const BoxingProgram& program = programs[p];
    Run& run = runs[p];
    run.values.resize(program.values.size());
    for (int v : program.inputs) {
      run.values[v] = shares.at(program.values[v].device);
    }
    if (!program.group.empty()) {
      auto by_rank = runtime::CreateSharedMemoryCommunicators(
          static_cast<int>(program.group.size()));
      for (size_t r = 0; r < program.group.size(); ++r) {
        run.communicators[program.group[r]] = std::move(by_rank[r]);
      }
    }
    for (const BoxingTask& task : program.tasks) run.status[task.device] = {};
    for (auto& [device, status] : run.status) {
      const auto found = run.communicators.find(device);
      runtime::Communicator* communicator =
          found == run.communicators.end() ? nullptr : found->second.get();
      auto work = [&, device = device, status = &status, communicator] {
        *status = RunDevice(program, type, device, communicator, &run.values);
      };
      // Local programs need no company.
      if (program.group.empty()) {
        work();
      } else {
        threads.emplace_back(work);
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
  std::map<int, HostValue> results;
  for (size_t p = 0; p < programs.size(); ++p) {
    for (const auto& [device, status] : runs[p].status) {
      RETURN_IF_ERROR(status);
    }
    for (int v : programs[p].outputs) {
      results[programs[p].values[v].device] = runs[p].values[v];
    }
  }
  return results;
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
