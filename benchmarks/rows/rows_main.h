// RowsMain: main() of //benchmarks:published_rows.
#ifndef FACET_BENCHMARKS_ROWS_ROWS_MAIN_H_
#define FACET_BENCHMARKS_ROWS_ROWS_MAIN_H_

namespace facet::benchmarks {

// Runs the chosen rows, ours by starting this very program with
// `train_argument` before the flags of a training. Returns the process's exit
// code: 0 when all of our own rows could be measured, whatever came out.
int RowsMain(int argc, char** argv, const char* train_argument);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_ROWS_ROWS_MAIN_H_
