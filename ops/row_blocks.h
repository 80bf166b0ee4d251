// A loop over a matrix whose rows may be few and very long (16 images, a
// million classes): both rows and columns are divided among the cores.
#ifndef FACET_OPS_ROW_BLOCKS_H_
#define FACET_OPS_ROW_BLOCKS_H_

#include <algorithm>
#include <cstdint>

#include "ops/parallel.h"

namespace facet::ops {

inline constexpr int64_t kColumnsPerBlock = 8192;

// The number of blocks of a row of `columns` elements.
inline int64_t ColumnBlocks(int64_t columns) {
  return (columns + kColumnsPerBlock - 1) / kColumnsPerBlock;
}

// Calls body(row, block, begin, end) for every row and every block [begin, end)
// of its columns. The blocks do not depend on the number of threads: what is
// computed per block and combined in order is the same for any of them.
template <typename Body>
void ForRowBlocks(int64_t rows, int64_t columns, const Body& body) {
  const int64_t blocks = ColumnBlocks(columns);
  // Waking a thread pays from some 16,000 elements on.
  const int64_t grain =
      16384 / std::max<int64_t>(1, std::min(columns, kColumnsPerBlock)) + 1;
  ParallelFor(rows * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t block = task % blocks;
      const int64_t begin = block * kColumnsPerBlock;
      body(task / blocks, block, begin,
           std::min(columns, begin + kColumnsPerBlock));
    }
  });
}

}  // namespace facet::ops

#endif  // FACET_OPS_ROW_BLOCKS_H_
