// Row: one line of the table that //benchmarks:published_rows makes: what is
// trained, what it is compared with, and what we ask of it. Which rows there
// are stands here; how they are run in measure_row.h.
#ifndef FACET_BENCHMARKS_ROWS_ROW_H_
#define FACET_BENCHMARKS_ROWS_ROW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace facet::benchmarks {

// What a row must reach; 0: nothing is asked.
struct Bar {
  double ratio = 0;               // Ours / the other's samples/s, at least.
  double samples_per_second = 0;  // At least.
  int64_t peak_bytes = 0;         // At most.
};

enum class Opponent {
  kPeer,       // arcface_torch.
  kOneDevice,  // Facet on one device that has all cores.
};

struct Row {
  std::string name;  // "2m_fp16_pfc_b512": its batch size is the published one.
  int64_t classes = 0;
  int64_t batch_size = 0;  // Global, as it is run.
  bool half = false;
  double sample_rate = 1;  // Of Partial FC; 1: all classes.
  // Class weights and their momentum stored as bfloat16, which the peer cannot.
  bool half_state = false;
  Opponent opponent = Opponent::kPeer;
  // On 8 x V100; 0: not a published row.
  int64_t published_batch_size = 0;
  double published_samples_per_second = 0;
  Bar bar;

  bool partial_fc() const { return sample_rate < 1; }
};

// What published batch sizes are divided by where `cores` are at hand: at the
// published 512 images a core gets 8.
int64_t AutomaticBatchScale(int cores);
// The same for GPUs: each gets what one of the 8 published ones got, or more if
// 8 cannot be divided by their number.
int64_t GpuBatchScale(int gpus);

// The rows of arcface_torch's two published tables, in their order.
std::vector<Row> RowsOfPublishedTables(int64_t batch_scale);

// Further rows, of CPUs, each with a bar.
std::vector<Row> RowsWithBars();

// "published", "bars", "all", "none", or names separated by commas; in the
// order given, each once. InvalidArgument names what there is no row of, and
// what there is.
absl::StatusOr<std::vector<Row>> SelectRows(absl::string_view selection,
                                            int64_t batch_scale);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_ROW_H_
