#include "ops/channel_loops.h"

namespace facet::ops {

ChannelGrid ChannelGrid::Make(const TensorSlice& slice,
                              const std::vector<Range>& group_rows) {
  const int rank = slice.shape.rank();
  CHECK_GE(rank, 2) << slice.shape.ToString();
  ChannelGrid grid;
  grid.channels = slice.shape[1];
  grid.positions = slice.shape.num_elements(2, rank);
  if (rank == 2 || slice.layout == Layout::kChannelsLast) {
    grid.width = grid.channels;
  } else {
    grid.width = ChannelBlock(slice.layout);
  }
  CHECK(grid.width > 0 && grid.channels % grid.width == 0)
      << slice.shape.ToString() << " in "
      << std::string(LayoutName(slice.layout));
  grid.blocks = grid.channels / grid.width;
  grid.groups = static_cast<int64_t>(group_rows.size());
  // Small images: enough rows that a run's sums are worth their place.
  grid.rows_per_run =
      std::max<int64_t>(1, 512 / std::max<int64_t>(1, grid.positions));
  for (int64_t group = 0; group < grid.groups; ++group) {
    const Range& rows = group_rows[group];
    for (int64_t row = rows.begin; row < rows.end; row += grid.rows_per_run) {
      grid.runs.push_back(
          {group, {row, std::min(rows.end, row + grid.rows_per_run)}});
    }
  }
  return grid;
}

ChannelGrid ChannelGrid::Make(const TensorSlice& slice) {
  return Make(slice, {{0, slice.shape[0]}});
}

}  // namespace facet::ops
