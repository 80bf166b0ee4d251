// What processes find out about each other, here as threads.
#include "benchmarks/job.h"

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/processes/in_memory.h"

namespace facet::benchmarks {
namespace {

using testing::HasSubstr;

// body(process) on a thread each; one that fails ends the others.
std::vector<absl::Status> InProcesses(
    int count,
    const std::function<absl::Status(runtime::ProcessGroup&)>& body) {
  const auto processes = runtime::CreateInMemoryProcesses(count);
  std::vector<absl::Status> statuses(count);
  std::vector<std::thread> threads;
  for (int p = 0; p < count; ++p) {
    threads.emplace_back([&, p] {
      statuses[p] = body(*processes[p]);
      if (!statuses[p].ok()) processes[p]->Abort();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

TEST(JobTest, DevicesAreDealtToProcessesAndKnownToAll) {
  std::vector<JobDevices> jobs(2);
  std::vector<LocalDevices> locals(2);
  const auto statuses =
      InProcesses(2, [&](runtime::ProcessGroup& process) -> absl::Status {
        auto local = UseLocalDevices({"cpu", 4}, &process);
        if (!local.ok()) return local.status();
        locals[process.rank()] = *std::move(local);
        auto job = GatherDevices(locals[process.rank()],
                                 {{"node", 2}, {"device", 2}}, &process);
        if (!job.ok()) return job.status();
        jobs[process.rank()] = *std::move(job);
        return absl::OkStatus();
      });
  for (const absl::Status& status : statuses) {
    ASSERT_TRUE(status.ok()) << status;
  }
  for (int p = 0; p < 2; ++p) {
    const JobDevices& job = jobs[p];
    EXPECT_EQ(job.description, "2 processes on 1 host: 4 devices");
    EXPECT_EQ(locals[p].devices.size(), 2u);
    ASSERT_EQ(job.devices.size(), 4u);
    for (int d = 0; d < 4; ++d) {
      EXPECT_EQ(job.devices[d],
                d / 2 == p ? locals[p].devices[d % 2] : nullptr);
      EXPECT_EQ(job.cluster.devices[d].name, "cpu:" + std::to_string(d));
    }
    // One axis is between processes, the other within.
    ASSERT_EQ(job.cluster.mesh.size(), 2u);
    EXPECT_NE(job.cluster.mesh[0].bytes_per_second,
              job.cluster.mesh[1].bytes_per_second);
    EXPECT_EQ(job.cluster.mesh[1].bytes_per_second,
              locals[p].cluster.mesh[0].bytes_per_second);
    // All have measured the same network, and share one host's memory.
    EXPECT_EQ(job.cluster.mesh[0].bytes_per_second,
              jobs[0].cluster.mesh[0].bytes_per_second);
    EXPECT_LE(job.cluster.host_memory_bytes,
              locals[p].cluster.host_memory_bytes);
  }
}

TEST(JobTest, AllMustHaveTheSame) {
  const auto statuses =
      InProcesses(2, [&](runtime::ProcessGroup& process) -> absl::Status {
        auto local = UseLocalDevices({"cpu", 1 + process.rank()});
        if (!local.ok()) return local.status();
        return GatherDevices(*local, {{"device", 3}}, &process).status();
      });
  EXPECT_THAT(std::string(statuses[0].message()),
              HasSubstr("process 1 has cpu:2, process 0 has cpu:1"));
}

TEST(JobTest, EachProcessIsADeviceUnlessSaidOtherwise) {
  const auto statuses =
      InProcesses(3, [&](runtime::ProcessGroup& process) -> absl::Status {
        const auto choice = AutoDevices(&process);
        if (!choice.ok()) return choice.status();
        EXPECT_TRUE(choice->kind != "cpu" || choice->count == 3);
        EXPECT_EQ(choice->count % 3, 0);
        return UseLocalDevices({"cpu", 4}, &process).status();
      });
  EXPECT_THAT(std::string(statuses[0].message()),
              HasSubstr("3 processes cannot have equally many"));
}

}  // namespace
}  // namespace facet::benchmarks
