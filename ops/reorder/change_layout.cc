#include "ops/reorder/change_layout.h"

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "glog/logging.h"
#include "ops/parallel.h"
#include "ops/transpose.h"

namespace facet::ops {
namespace {

// Every layout is [N, C / width, H * W, width] for some width: row-major 1,
// blocked 8 or 16, channels-last C.
int64_t Width(Layout layout, int64_t channels) {
  const int64_t width =
      layout == Layout::kChannelsLast ? channels : ChannelBlock(layout);
  CHECK_EQ(channels % width, 0) << std::string(LayoutName(layout));
  return width;
}

// Positions that one piece of work handles.
constexpr int64_t kPositions = 256;

// to[c][r] = from[r][c] for 8 rows and columns.
void Transpose8x8(const uint32_t* from, int64_t from_stride, uint32_t* to,
                  int64_t to_stride) {
  Float8 rows[8];
  for (int r = 0; r < 8; ++r) {
    std::memcpy(&rows[r], from + r * from_stride, sizeof(Float8));
  }
  Transpose(rows);
  for (int r = 0; r < 8; ++r) {
    std::memcpy(to + r * to_stride, &rows[r], sizeof(Float8));
  }
}

void Transpose8x8(const uint16_t* from, int64_t from_stride, uint16_t* to,
                  int64_t to_stride) {
  auto load = [&](int row) {
    return _mm_loadu_si128(
        reinterpret_cast<const __m128i*>(from + row * from_stride));
  };
  auto store = [&](int row, __m128i value) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + row * to_stride), value);
  };
  const __m128i r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
  const __m128i r4 = load(4), r5 = load(5), r6 = load(6), r7 = load(7);
  const __m128i t0 = _mm_unpacklo_epi16(r0, r1);
  const __m128i t1 = _mm_unpackhi_epi16(r0, r1);
  const __m128i t2 = _mm_unpacklo_epi16(r2, r3);
  const __m128i t3 = _mm_unpackhi_epi16(r2, r3);
  const __m128i t4 = _mm_unpacklo_epi16(r4, r5);
  const __m128i t5 = _mm_unpackhi_epi16(r4, r5);
  const __m128i t6 = _mm_unpacklo_epi16(r6, r7);
  const __m128i t7 = _mm_unpackhi_epi16(r6, r7);
  const __m128i u0 = _mm_unpacklo_epi32(t0, t2);
  const __m128i u1 = _mm_unpackhi_epi32(t0, t2);
  const __m128i u2 = _mm_unpacklo_epi32(t1, t3);
  const __m128i u3 = _mm_unpackhi_epi32(t1, t3);
  const __m128i u4 = _mm_unpacklo_epi32(t4, t6);
  const __m128i u5 = _mm_unpackhi_epi32(t4, t6);
  const __m128i u6 = _mm_unpacklo_epi32(t5, t7);
  const __m128i u7 = _mm_unpackhi_epi32(t5, t7);
  store(0, _mm_unpacklo_epi64(u0, u4));
  store(1, _mm_unpackhi_epi64(u0, u4));
  store(2, _mm_unpacklo_epi64(u1, u5));
  store(3, _mm_unpackhi_epi64(u1, u5));
  store(4, _mm_unpacklo_epi64(u2, u6));
  store(5, _mm_unpackhi_epi64(u2, u6));
  store(6, _mm_unpacklo_epi64(u3, u7));
  store(7, _mm_unpackhi_epi64(u3, u7));
}

void Transpose8x8(const uint64_t* from, int64_t from_stride, uint64_t* to,
                  int64_t to_stride) {
  for (int r = 0; r < 8; ++r) {
    for (int c = 0; c < 8; ++c)
      to[c * to_stride + r] = from[r * from_stride + c];
  }
}

// to[c][r] = from[r][c]
template <typename T>
void Transpose(const T* from, int64_t rows, int64_t columns,
               int64_t from_stride, T* to, int64_t to_stride) {
  const int64_t full_rows = rows / 8 * 8;
  const int64_t full_columns = columns / 8 * 8;
  for (int64_t c = 0; c < full_columns; c += 8) {
    for (int64_t r = 0; r < full_rows; r += 8) {
      Transpose8x8(from + r * from_stride + c, from_stride,
                   to + c * to_stride + r, to_stride);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = r < full_rows ? full_columns : 0; c < columns; ++c) {
      to[c * to_stride + r] = from[r * from_stride + c];
    }
  }
}

// Pieces of `piece` adjacent channels, `kPiece` if that is not 0.
template <typename T, int kPiece>
void CopyPieces(const T* from, int64_t from_stride, T* to, int64_t to_stride,
                int64_t count, int64_t piece) {
  const int64_t size = (kPiece > 0 ? kPiece : piece) * sizeof(T);
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * to_stride, from + i * from_stride, size);
  }
}

template <typename T>
void Change(const Shape& shape, int64_t from_width, const T* from,
            int64_t to_width, T* to) {
  const int64_t channels = shape[1];
  const int64_t positions = shape[2] * shape[3];
  // One of the widths divides the other: both divide C, and they are 1, 8, 16
  // or C.
  const int64_t piece = std::min(from_width, to_width);
  const int64_t block = std::max(from_width, to_width);
  CHECK_EQ(block % piece, 0);
  const int64_t parts = (positions + kPositions - 1) / kPositions;
  const int64_t blocks = channels / block;
  const int64_t work = std::min(positions, kPositions) * block;
  auto change = [&](int64_t task) {
    const int64_t first = task % parts * kPositions;
    const int64_t count = std::min(kPositions, positions - first);
    const int64_t base = task / parts * block * positions;
    if (from_width == 1) {
      Transpose(from + base + first, block, count, positions,
                to + base + first * block, block);
    } else if (to_width == 1) {
      Transpose(from + base + first * block, count, block, block,
                to + base + first, positions);
    } else {
      for (int64_t c = 0; c < block; c += piece) {
        const int64_t from_offset = from_width == block
                                        ? first * block + c
                                        : c * positions + first * piece;
        const int64_t to_offset = to_width == block
                                      ? first * block + c
                                      : c * positions + first * piece;
        const auto copy = piece == 8    ? CopyPieces<T, 8>
                          : piece == 16 ? CopyPieces<T, 16>
                                        : CopyPieces<T, 0>;
        copy(from + base + from_offset, from_width, to + base + to_offset,
             to_width, count, piece);
      }
    }
  };
  ParallelFor(shape[0] * blocks * parts, 16384 / work + 1,
              [&](int64_t begin, int64_t end) {
                for (int64_t task = begin; task < end; ++task) change(task);
              });
}

void Copy(const void* from, void* to, int64_t size_bytes) {
  if (from == to) return;
  ParallelFor(size_bytes, 65536, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin,
                static_cast<const char*>(from) + begin, end - begin);
  });
}

}  // namespace

void ChangeLayout(const Shape& shape, DataType dtype, Layout from_layout,
                  const void* from, Layout to_layout, void* to) {
  CHECK_EQ(shape.rank(), 4) << shape.ToString();
  const int64_t from_width = Width(from_layout, shape[1]);
  const int64_t to_width = Width(to_layout, shape[1]);
  if (from_width == to_width) {
    return Copy(from, to, shape.num_elements() * SizeInBytes(dtype));
  }
  auto change = [&](auto element) {
    using T = decltype(element);
    Change(shape, from_width, static_cast<const T*>(from), to_width,
           static_cast<T*>(to));
  };
  switch (SizeInBytes(dtype)) {
    case 2:
      return change(uint16_t{});
    case 4:
      return change(uint32_t{});
    default:
      CHECK_EQ(SizeInBytes(dtype), 8);
      return change(uint64_t{});
  }
}

}  // namespace facet::ops
