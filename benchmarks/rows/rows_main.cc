#include "benchmarks/rows/rows_main.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "benchmarks/local_devices.h"
#include "benchmarks/rows/contestants.h"
#include "benchmarks/rows/results_chart.h"
#include "benchmarks/rows/results_table.h"
#include "benchmarks/rows/row.h"
#include "benchmarks/rows/row_result.h"
#include "benchmarks/rows/run_rows.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ops/status_macros.h"
#include "placement/plan/write_file.h"
#include "placement/tool/command_line.h"
#include "placement/tool/flag_values.h"
#include "placement/tool/text_table.h"
#include "runtime/device/cpu_device.h"

DEFINE_string(rows, "published",
              "Which rows: published (both published tables), bars (CPU rows "
              "with a bar), all, none, or names with commas.");
DEFINE_bool(list, false, "List the rows and run nothing.");
DEFINE_int64(batch_scale, 0,
             "Published batch sizes are divided by this (classes never are). "
             "0: so that a core gets 8 images where 512 were published, and a "
             "GPU what one of the published 8 got.");
DEFINE_int64(rounds, 1,
             "How often each row is measured, ours and the other alternating; "
             "the median counts.");
DEFINE_string(peer, "",
              "Also run arcface_torch itself: the folder "
              "recognition/arcface_torch of a checkout of "
              "github.com/deepinsight/insightface.");
DEFINE_string(python, "/usr/bin/python3",
              "The Python that has PyTorch, for --peer.");
DEFINE_bool(append, false,
            "Keep the rows that --json=FILE already has and that are not run "
            "again: for a table that is made in several runs.");
DEFINE_string(chart, "",
              "Draw the results into this file: .svg, or .png (needs "
              "rsvg-convert).");
DECLARE_string(devices);
DECLARE_int64(steps);
DECLARE_int64(warmup);
DECLARE_string(json);
DECLARE_bool(help);

namespace facet::benchmarks {
namespace {

using placement::InvalidFlag;

constexpr char kUsage[] =
    "Trains the rows of arcface_torch's two published tables (2M and 618k "
    "classes) on this machine, each in a process of its own.\n"
    "  bazel run //benchmarks:published_rows -- --list\n"
    "  bazel run //benchmarks:published_rows -- --rows=2m_fp16_b512 "
    "--json=rows.json --chart=rows.svg\n";

const std::vector<std::string>& Flags() {
  static const auto& flags = *new std::vector<std::string>{
      "rows", "list",   "batch_scale", "devices", "steps", "warmup", "rounds",
      "peer", "python", "append",      "json",    "chart", "help"};
  return flags;
}

// Left free for everybody else when a contestant takes all memory there is.
constexpr int64_t kReserveBytes = int64_t{1} << 29;

// A signal handler can reach nothing else.
std::atomic<bool> interrupted{false};

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted.store(true); };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

struct Request {
  std::string hardware;  // Of the devices.
  std::vector<Row> rows;
  int64_t batch_scale = 1;
  int64_t rounds = 1;
  bool append = false;
  std::string json;   // Absolute; empty: none.
  std::string chart;  // Absolute; empty: none.
  Contestants contestants;
};

// Where this program lies; links resolved, because its runfiles lie beside it.
absl::StatusOr<std::string> OwnPath() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("/proc/self/exe: ", error.message()));
  }
  return path.string();
}

absl::Status CheckCounts() {
  struct Count {
    const char* flag;
    int64_t value, least;
  };
  for (const Count& c :
       {Count{"batch_scale", FLAGS_batch_scale, 0},
        Count{"rounds", FLAGS_rounds, 1}, Count{"steps", FLAGS_steps, 1},
        Count{"warmup", FLAGS_warmup, 0}}) {
    if (c.value < c.least || c.value > 1'000'000) {
      return InvalidFlag(c.flag, absl::StrCat(c.value),
                         absl::StrCat("use ", c.least, " to 1000000"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<placement::DeviceChoice> Devices() {
  if (FLAGS_devices == "auto") return AutoDevices();
  for (const char* kind : {"cpu", "cuda"}) {
    absl::string_view rest = FLAGS_devices;
    placement::DeviceChoice choice{kind};
    if (absl::ConsumePrefix(&rest, absl::StrCat(kind, ":")) &&
        absl::SimpleAtoi(rest, &choice.count) && choice.count >= 1) {
      return choice;
    }
  }
  return InvalidFlag("devices", FLAGS_devices, "use auto, cpu:N or cuda:N");
}

absl::StatusOr<Contestants> ContestantsFromFlags(
    const char* train_argument, const placement::DeviceChoice& devices) {
  Contestants c;
  ASSIGN_OR_RETURN(const std::string self, OwnPath());
  c.training = {self, train_argument};
  c.python = FLAGS_python;
  c.peer_script =
      absl::StrCat(self, ".runfiles/facet/tools/peer/train_speed.py");
  c.peer = placement::UserPath(FLAGS_peer);
  c.cores = runtime::AvailableCores();
  c.device_kind = devices.kind;
  c.devices = devices.count;
  c.steps = FLAGS_steps;
  c.warmup = FLAGS_warmup;
  if (c.peer.empty()) return c;
  if (c.device_kind == "cuda" && c.devices != 1) {
    return InvalidFlag("peer", FLAGS_peer,
                       "its script trains on one GPU; use --devices=cuda:1");
  }
  std::error_code error;
  if (!std::filesystem::exists(c.peer + "/partial_fc_v2.py", error)) {
    return InvalidFlag("peer", FLAGS_peer,
                       "there is no partial_fc_v2.py in it; give the folder "
                       "recognition/arcface_torch of a checkout of "
                       "github.com/deepinsight/insightface");
  }
  if (!std::filesystem::exists(c.peer_script, error)) {
    return absl::NotFoundError(
        absl::StrCat(c.peer_script, " is missing; start this with bazel run"));
  }
  return c;
}

absl::StatusOr<Request> RequestFromFlags(const char* train_argument) {
  Request r;
  RETURN_IF_ERROR(CheckCounts());
  ASSIGN_OR_RETURN(const placement::DeviceChoice choice, Devices());
  ASSIGN_OR_RETURN(const LocalDevices local, UseLocalDevices(choice));
  r.hardware = local.hardware;
  ASSIGN_OR_RETURN(r.contestants, ContestantsFromFlags(train_argument, choice));
  const Contestants& c = r.contestants;
  r.batch_scale = c.device_kind == "cuda" ? GpuBatchScale(c.devices)
                                          : AutomaticBatchScale(c.cores);
  if (FLAGS_batch_scale > 0) r.batch_scale = FLAGS_batch_scale;
  r.rounds = FLAGS_rounds;
  ASSIGN_OR_RETURN(r.rows, SelectRows(FLAGS_rows, r.batch_scale));
  ASSIGN_OR_RETURN(r.json, placement::OutputPath("json", FLAGS_json));
  ASSIGN_OR_RETURN(r.chart, placement::OutputPath("chart", FLAGS_chart));
  if (!r.chart.empty()) RETURN_IF_ERROR(CheckChartPath(r.chart));
  r.append = FLAGS_append;
  if (r.append && r.json.empty()) {
    return absl::InvalidArgumentError(
        "--append: there is no --json=FILE to append to");
  }
  return r;
}

// What the run begins with: nothing, or the rows of the file appended to.
absl::StatusOr<RunResults> InitialResults(const Request& r) {
  RunResults results;
  results.hardware = r.hardware;
  results.cores = r.contestants.cores;
  results.peer = r.contestants.peer.empty() ? "" : "arcface_torch";
  results.batch_scale = r.batch_scale;
  results.steps = r.contestants.steps;
  results.warmup = r.contestants.warmup;
  results.rounds = r.rounds;
  std::error_code error;
  if (!r.append || !std::filesystem::exists(r.json, error)) return results;

  std::ifstream file(r.json);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  absl::StatusOr<RunResults> earlier = ParseResults(text);
  if (!earlier.ok()) {
    return InvalidFlag(
        "json", r.json,
        absl::StrCat("cannot be appended to: ", earlier.status().message()));
  }
  if (earlier->hardware != results.hardware ||
      earlier->cores != results.cores) {
    return InvalidFlag(
        "json", r.json,
        absl::StrCat("its rows are of another machine: ", earlier->hardware,
                     ", ", earlier->cores, " cores; this one is ",
                     results.hardware, ", ", results.cores, " cores"));
  }
  if (results.peer.empty()) results.peer = earlier->peer;
  results.rows = std::move(earlier->rows);
  return results;
}

absl::Status WriteOutputs(const Request& r, const RunResults& results) {
  if (!r.json.empty()) {
    RETURN_IF_ERROR(
        placement::WriteFileAtomically(r.json, ResultsJson(results)));
  }
  return absl::OkStatus();
}

absl::Status RunAndReport(const Request& r) {
  ASSIGN_OR_RETURN(RunResults results, InitialResults(r));
  std::printf(
      "%s, %d cores; published batch sizes / %d, classes as published; %d "
      "steps after %d of warm-up, %d round%s\n\n",
      results.hardware.c_str(), results.cores, static_cast<int>(r.batch_scale),
      static_cast<int>(results.steps), static_cast<int>(results.warmup),
      static_cast<int>(r.rounds), r.rounds == 1 ? "" : "s");
  const Contestants& c = r.contestants;
  RunOptions options;
  options.ours = [&](const Row& row, const std::string& json) {
    return OurCommand(c, row, json);
  };
  options.one_device = [&](const Row& row, const std::string& json) {
    return OpponentCommand(c, row, json);
  };
  if (!c.peer.empty()) options.peer = options.one_device;
  options.rounds = r.rounds;
  options.reserve_bytes = kReserveBytes;
  options.stop = &interrupted;
  options.live = isatty(STDOUT_FILENO) == 1;

  CatchInterrupts();
  // After each row: what is done is kept, whatever comes.
  absl::Status status = RunRows(r.rows, options, [&](const RowResult& row) {
    SetRow(row, &results);
    return WriteOutputs(r, results);
  });
  std::printf("\n%s",
              ResultsTable(results, placement::TerminalWidth()).c_str());
  if (!r.chart.empty()) status.Update(WriteChart(results, r.chart));
  const auto failed =
      std::count_if(results.rows.begin(), results.rows.end(),
                    [](const RowResult& row) { return !row.ours.ok(); });
  if (failed > 0) {
    status.Update(absl::UnavailableError(
        absl::StrCat(failed, " of ", results.rows.size(),
                     " rows could not be measured; the table says why")));
  }
  return status;
}

absl::Status Main(int argc, char** argv, const char* train_argument) {
  gflags::SetCommandLineOptionWithMode("steps", "3", gflags::SET_FLAGS_DEFAULT);
  gflags::SetCommandLineOptionWithMode("warmup", "1",
                                       gflags::SET_FLAGS_DEFAULT);
  ASSIGN_OR_RETURN(
      const std::vector<std::string> rest,
      placement::SetFlags(std::vector<std::string>(argv + 1, argv + argc),
                          Flags()));
  if (FLAGS_help) {
    std::printf(
        "%s\n%s", kUsage,
        placement::FlagsHelp(Flags(), placement::TerminalWidth()).c_str());
    return absl::OkStatus();
  }
  if (!rest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", rest[0],
                     "\": all arguments are flags (--name=value); --help "
                     "lists them"));
  }
  if (FLAGS_list && gflags::GetCommandLineFlagInfoOrDie("rows").is_default) {
    FLAGS_rows = "all";
  }
  ASSIGN_OR_RETURN(const Request request, RequestFromFlags(train_argument));
  if (!FLAGS_list) return RunAndReport(request);
  std::printf("%s",
              RowsTable(request.rows, placement::TerminalWidth()).c_str());
  std::printf("\nbatch: on this machine, published / %d\n",
              static_cast<int>(request.batch_scale));
  return absl::OkStatus();
}

}  // namespace

int RowsMain(int argc, char** argv, const char* train_argument) {
  // Logs of warnings and errors go to the terminal, not to files in /tmp.
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  const absl::Status status = Main(argc, argv, train_argument);
  // A report that nobody can read is no success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr,
                 "published_rows: error: the standard output could not be "
                 "written; is its disk full?\n");
    return 1;
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "published_rows: error: %s\n",
               std::string(status.message()).c_str());
  // As shells report a program that Ctrl-C ended.
  return absl::IsCancelled(status) ? 128 + SIGINT : 1;
}

}  // namespace facet::benchmarks
