#include "benchmarks/train_main.h"

#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "benchmarks/evaluation.h"
#include "benchmarks/job.h"
#include "benchmarks/report.h"
#include "benchmarks/training_run.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "ops/status_macros.h"
#include "runtime/data/image_folder.h"

namespace facet::benchmarks {
namespace {

constexpr int64_t kEmbedding = 512;

struct Split {
  std::vector<runtime::Photograph> training;
  std::vector<runtime::Photograph> held_out;
};

// The last `held_out` photographs of each person, who must keep at least one.
absl::StatusOr<Split> HoldOut(const runtime::ImageFolder& folder,
                              int64_t held_out) {
  std::vector<int64_t> left(folder.people.size(), 0);
  for (const runtime::Photograph& p : folder.photographs) ++left[p.person];
  Split split;
  for (size_t person = 0; person < left.size(); ++person) {
    if (left[person] <= held_out) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--held_out=", held_out, ": ", folder.people[person], " has only ",
          left[person], " readable photographs; use fewer"));
    }
  }
  for (const runtime::Photograph& p : folder.photographs) {
    (left[p.person]-- > held_out ? split.training : split.held_out)
        .push_back(p);
  }
  return split;
}

absl::Status Evaluate(const Split& split, int64_t people, TrainingRun& run,
                      Results* results) {
  ASSIGN_OR_RETURN(const Embeddings embeddings,
                   Embed(run.settings().network, kEmbedding, split.held_out,
                         run.local_devices(), run.session()));
  ASSIGN_OR_RETURN(const runtime::HostTensor centres,
                   run.session().ReadVariable("head.weight"));
  results->measures.emplace_back(
      "rank1_accuracy",
      Rank1Accuracy(embeddings, split.held_out, centres, people));
  const Verification verification = VerifyAllPairs(embeddings, split.held_out);
  results->measures.emplace_back("verification_balanced_accuracy",
                                 verification.balanced_accuracy);
  results->measures.emplace_back("verification_accuracy",
                                 verification.accuracy);
  results->measures.emplace_back("held_out_photographs", split.held_out.size());
  results->measures.emplace_back(
      "verification_pairs", verification.same_pairs + verification.other_pairs);
  return absl::OkStatus();
}

absl::Status Main(int argc, char** argv, const Preset& preset, bool evaluate,
                  runtime::ProcessGroup* processes) {
  ASSIGN_OR_RETURN(Settings settings,
                   ParseSettings(&argc, &argv, preset, processes));
  Split split;
  int64_t people = 0;
  if (settings.data != "synthetic") {
    ASSIGN_OR_RETURN(const runtime::ImageFolder folder,
                     runtime::ScanImageFolder(settings.data));
    people = static_cast<int64_t>(folder.people.size());
    if (evaluate) {
      ASSIGN_OR_RETURN(split, HoldOut(folder, settings.held_out));
    } else {
      split.training = folder.photographs;
    }
    if (settings.classes == 0) settings.classes = people;
    if (people > settings.classes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--classes=", settings.classes, ": ", settings.data, " has ", people,
          " people; use --classes=", people, " or more"));
    }
    if (settings.classes < settings.devices) {
      return absl::InvalidArgumentError(
          absl::StrCat(settings.data, " has ", people, " people, fewer than ",
                       settings.devices, " devices; use fewer --devices"));
    }
    std::printf(
        "%s: %d people, %d photographs to train on, %d held out, %d "
        "unreadable\n",
        settings.data.c_str(), static_cast<int>(people),
        static_cast<int>(split.training.size()),
        static_cast<int>(split.held_out.size()),
        static_cast<int>(folder.unreadable.size()));
  } else if (evaluate) {
    return absl::InvalidArgumentError(
        "--data=synthetic: there is nothing to recognise in it; give a folder "
        "of photographs");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<TrainingRun> run,
                   TrainingRun::Create(settings, split.training, processes));
  absl::StatusOr<Results> trained = run->Train();
  if (absl::IsDeadlineExceeded(trained.status())) {
    // A task hangs. Taking the session apart would wait for it, so that is
    // left to the end of the process.
    static_cast<void>(run.release());
  }
  ASSIGN_OR_RETURN(Results results, std::move(trained));
  if (evaluate) RETURN_IF_ERROR(Evaluate(split, people, *run, &results));
  // A file that cannot be written takes nothing else with it.
  PrintResults(results);
  if (run->settings().limits) {
    ASSIGN_OR_RETURN(const std::string limits, run->Limits());
    std::printf("\n%s", limits.c_str());
  }
  absl::Status written = settings.json.empty()
                             ? absl::OkStatus()
                             : WriteJson(results, settings.json);
  written.Update(run->WriteTrace());
  written.Update(run->checkpoint_status());
  return written;
}

}  // namespace

int TrainMain(int argc, char** argv, const Preset& preset, bool evaluate) {
  // Logs of warnings and errors go to the terminal, not to files in /tmp.
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  google::InstallFailureSignalHandler();  // A crash says where.
  signal(SIGTERM, SIG_DFL);               // Which is none.
  std::string who = preset.program;
  absl::StatusOr<std::unique_ptr<runtime::ProcessGroup>> processes = JoinJob();
  absl::Status status = processes.status();
  if (status.ok()) {
    if (*processes != nullptr) {
      absl::StrAppend(&who, ", process ", (*processes)->rank());
    }
    status = Main(argc, argv, preset, evaluate, processes->get());
  }
  // A report that nobody can read is no success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    status.Update(absl::UnavailableError(
        "the standard output could not be written; is its disk full?"));
  }
  if (status.ok()) return 0;
  const bool in_job = processes.ok() && *processes != nullptr;
  if (in_job && (*processes)->rank() != 0) {
    // What all find wrong, process 0 says, and ends the others.
    absl::SleepFor(absl::Seconds(2));
  }
  std::fprintf(stderr, "%s: error: %s\n", who.c_str(),
               std::string(status.message()).c_str());
  // The others cannot go on without this one.
  if (in_job) {
    absl::SleepFor(absl::Milliseconds(200));  // The launcher passes it on.
    (*processes)->Abort();
  }
  return 1;
}

}  // namespace facet::benchmarks
