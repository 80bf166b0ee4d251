// A block has a piece of 8192 classes of a group, a thread a word of 32: bits
// of the sampled classes lie in the workspace. Blocks count them, the counts
// are added up, and then every block knows where its rows go.
//
// Must hash C classes, a block of random words (some 100 operations) for 4; and
// write the list. Moves C/8 bytes of bits twice besides, and the labels once
// for each piece.
//
// What the CPU refuses, the host does not see here: images whose label is no
// class get a negative position, and all images do if a group has more sampled
// classes than room. softmax_cross_entropy makes the loss of such a batch NaN.
#include <cstdint>

#include "ops/cuda/cuda_context.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/scan.h"
#include "ops/cuda/shard_ranges.h"
#include "ops/cuda/warp_per_row.h"
#include "ops/kernel.h"
#include "ops/random.h"
#include "ops/sample_classes/sampling.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

constexpr int kWordClasses = 32;
constexpr int64_t kPieceClasses = kBlockThreads * kWordClasses;

// The pieces of this device's groups: an argument of kernels. All groups have
// as many, of which the last may be empty.
struct ClassPieces {
  ShardRanges groups;
  int64_t classes, num_groups;
  int64_t capacity;                   // Of a group.
  int64_t first_group, local_groups;  // Of this device.
  int64_t per_group;

  explicit ClassPieces(const KernelSpec& spec)
      : groups(spec.attributes.Int("classes"),
               static_cast<int>(spec.attributes.Int("groups"))),
        classes(spec.attributes.Int("classes")),
        num_groups(spec.attributes.Int("groups")),
        capacity(spec.attributes.Int("capacity")),
        first_group(spec.outputs[0].offset[0]),
        local_groups(spec.outputs[0].shape[0]),
        per_group((groups.size(0) + kPieceClasses - 1) / kPieceClasses) {}

  // In all: a word of bits for each thread of each piece; for each group its
  // pieces' counts, one after the other, and their sum.
  int64_t count() const { return local_groups * per_group; }
  int64_t words() const { return count() * kBlockThreads; }
  FACET_HOST_DEVICE int64_t counts_per_group() const { return per_group + 1; }
  int64_t counts() const { return local_groups * counts_per_group(); }
  int64_t workspace_bytes() const {
    return words() * static_cast<int64_t>(sizeof(uint32_t)) +
           counts() * static_cast<int64_t>(sizeof(int32_t));
  }
  DeviceSpan<uint32_t> WordsIn(void* workspace) const {
    return {static_cast<uint32_t*>(workspace), words()};
  }
  DeviceSpan<int32_t> CountsIn(void* workspace) const {
    return {static_cast<int32_t*>(workspace) + words(), counts()};
  }

  // Those of the calling block.
  __device__ int64_t local_group() const { return blockIdx.x / per_group; }
  __device__ int64_t piece() const { return blockIdx.x % per_group; }
  // Of its first class, in its group.
  __device__ int64_t first_class() const { return piece() * kPieceClasses; }
};

// The bits of the classes [begin, end), at most a word of them.
__device__ uint32_t Draw(const RandomStream& stream, uint32_t threshold,
                         int64_t begin, int64_t end) {
  uint32_t word = 0;
  for (int64_t block = begin / 4; block * 4 < end; ++block) {
    const PhiloxBlock random = RandomBlock(stream, block);
    for (int k = 0; k < 4; ++k) {
      const int64_t c = block * 4 + k;
      if (c >= begin && c < end && random.word[k] < threshold) {
        word |= 1u << (c - begin);
      }
    }
  }
  return word;
}

// Writes words of bits, and how many are set in each piece.
__global__ void __launch_bounds__(kBlockThreads)
    DrawKernel(ClassPieces pieces, RandomStream stream, uint32_t threshold,
               DeviceSpan<const int32_t> labels, DeviceSpan<uint32_t> words,
               DeviceSpan<int32_t> counts) {
  // By bit and thread, so that a warp's lie side by side.
  __shared__ bool is_label[kWordClasses][kBlockThreads];
  for (int bit = 0; bit < kWordClasses; ++bit) {
    is_label[bit][threadIdx.x] = false;
  }
  __syncthreads();
  const int64_t group = pieces.first_group + pieces.local_group();
  const int64_t of_group = pieces.groups.begin(group);
  const int64_t first = of_group + pieces.first_class();
  const int64_t group_end = of_group + pieces.groups.size(group);
  for (int64_t i = threadIdx.x; i < labels.size(); i += blockDim.x) {
    const int64_t c = labels.Load(i) - first;
    if (c < 0 || c >= kPieceClasses || first + c >= group_end) continue;
    is_label[c % kWordClasses][c / kWordClasses] = true;
  }
  __syncthreads();
  const int64_t begin = first + threadIdx.x * kWordClasses;
  const int64_t end =
      begin + kWordClasses < group_end ? begin + kWordClasses : group_end;
  uint32_t word = Draw(stream, threshold, begin, end);
  for (int bit = 0; bit < kWordClasses; ++bit) {
    if (is_label[bit][threadIdx.x]) word |= 1u << bit;
  }
  words.Store(GridThread(), word);
  const int count = ReduceBlock(__popc(word), Sum{}, 0);
  if (threadIdx.x == 0) {
    counts.Store(
        pieces.local_group() * pieces.counts_per_group() + pieces.piece(),
        count);
  }
}

// A block per group: each count becomes the sum of those before it.
__global__ void __launch_bounds__(kBlockThreads)
    AddCountsKernel(ClassPieces pieces, DeviceSpan<int32_t> counts) {
  const int64_t first = blockIdx.x * pieces.counts_per_group();
  int32_t before = 0;
  for (int64_t begin = 0; begin < pieces.per_group; begin += blockDim.x) {
    const int64_t piece = begin + threadIdx.x;
    const bool is_piece = piece < pieces.per_group;
    const BlockScan<int32_t> scan =
        ScanBlock(is_piece ? counts.Load(first + piece) : 0);
    if (is_piece) counts.Store(first + piece, before + scan.before);
    before += scan.total;
  }
  if (threadIdx.x == 0) counts.Store(first + pieces.per_group, before);
}

// Writes the list: rows of the piece's bits, and a part of the padding.
__global__ void __launch_bounds__(kBlockThreads)
    WriteRowsKernel(ClassPieces pieces, DeviceSpan<const uint32_t> words,
                    DeviceSpan<const int32_t> counts,
                    DeviceSpan<int32_t> rows) {
  const int64_t first_count = pieces.local_group() * pieces.counts_per_group();
  const int64_t line = pieces.local_group() * pieces.capacity;
  uint32_t word = words.Load(GridThread());
  int64_t entry = counts.Load(first_count + pieces.piece()) +
                  ScanBlock(__popc(word)).before;
  const int64_t row = pieces.first_class() + threadIdx.x * kWordClasses;
  for (; word != 0 && entry < pieces.capacity; word &= word - 1) {
    const int bit = __ffs(static_cast<int>(word)) - 1;
    rows.Store(line + entry++, static_cast<int32_t>(row + bit));
  }
  const int64_t used = counts.Load(first_count + pieces.per_group);
  for (int64_t i = used + pieces.piece() * blockDim.x + threadIdx.x;
       i < pieces.capacity; i += pieces.per_group * blockDim.x) {
    rows.Store(line + i, -1);
  }
}

// How many classes of a group are sampled before class c, counted by the warp.
__device__ int32_t SampledBefore(const ClassPieces& pieces, int64_t local_group,
                                 int64_t c,
                                 const DeviceSpan<const uint32_t>& words,
                                 const DeviceSpan<const int32_t>& counts) {
  const int64_t piece = c / kPieceClasses;
  const int64_t of_group = local_group * pieces.per_group * kBlockThreads;
  int32_t in_piece = 0;
  for (int64_t w = piece * kBlockThreads + Lane(); w <= c / kWordClasses;
       w += 32) {
    const uint32_t word = words.Load(of_group + w);
    const uint32_t lower = (1u << c % kWordClasses) - 1;
    in_piece += __popc(w == c / kWordClasses ? word & lower : word);
  }
  return counts.Load(local_group * pieces.counts_per_group() + piece) +
         ReduceWarp(in_piece, Sum{});
}

// A warp per label. Positions of other devices' classes are theirs to say: the
// sum over devices is the position.
__global__ void __launch_bounds__(kBlockThreads)
    PositionsKernel(ClassPieces pieces, DeviceSpan<const int32_t> labels,
                    DeviceSpan<const uint32_t> words,
                    DeviceSpan<const int32_t> counts,
                    DeviceSpan<int32_t> positions) {
  const int64_t i = RowOfWarp();
  if (i >= labels.size()) return;
  const int64_t label = labels.Load(i);
  int64_t position = label >= 0 && label < pieces.classes ? 0 : -1;
  for (int64_t local = 0; local < pieces.local_groups; ++local) {
    const int64_t group = pieces.first_group + local;
    const int64_t sampled =
        counts.Load(local * pieces.counts_per_group() + pieces.per_group);
    if (sampled > pieces.capacity) {
      // Below 0, whatever position another group adds.
      position -= pieces.num_groups * pieces.capacity;
      continue;
    }
    const int64_t c = label - pieces.groups.begin(group);
    if (c < 0 || c >= pieces.groups.size(group)) continue;
    position += group * pieces.capacity +
                SampledBefore(pieces, local, c, words, counts);
  }
  if (Lane() == 0) positions.Store(i, static_cast<int32_t>(position));
}

struct Sampling {
  ClassPieces pieces;
  uint32_t threshold;
  uint32_t key;
};

absl::Status Sample(const Sampling& s, const KernelContext& context) {
  const ClassPieces& pieces = s.pieces;
  const cudaStream_t stream = context.cuda->stream();
  const RandomStream random = {static_cast<uint64_t>(context.seed), s.key,
                               static_cast<uint32_t>(context.step)};
  const DeviceSpan<const int32_t> labels(context.inputs[0]);
  const DeviceSpan<uint32_t> words = pieces.WordsIn(context.workspace);
  const DeviceSpan<int32_t> counts = pieces.CountsIn(context.workspace);
  RETURN_IF_ERROR(Launch(DrawKernel, {dim3(pieces.count())}, stream, pieces,
                         random, s.threshold, labels, words, counts));
  RETURN_IF_ERROR(Launch(AddCountsKernel, {dim3(pieces.local_groups)}, stream,
                         pieces, counts));
  RETURN_IF_ERROR(Launch(WriteRowsKernel, {dim3(pieces.count())}, stream,
                         pieces, words, counts,
                         DeviceSpan<int32_t>(context.outputs[0])));
  if (labels.size() == 0) return absl::OkStatus();
  return Launch(PositionsKernel, WarpPerRow(labels.size()), stream, pieces,
                labels, words, counts, DeviceSpan<int32_t>(context.outputs[1]));
}

}  // namespace

KernelDef SampleClassesCudaKernel() {
  KernelDef def;
  def.workspace_bytes = [](const KernelSpec& spec) -> absl::StatusOr<int64_t> {
    return ClassPieces(spec).workspace_bytes();
  };
  def.depends_on_step = AlwaysDependsOnStep;
  def.create = [](const KernelSpec& spec) -> absl::StatusOr<Kernel> {
    const Sampling sampling = {
        ClassPieces(spec), SamplingThreshold(spec.attributes.Float("rate")),
        static_cast<uint32_t>(spec.attributes.Int("key"))};
    return Kernel([sampling](const KernelContext& context) {
      return Sample(sampling, context);
    });
  };
  return def;
}

}  // namespace facet::ops
