// Which work is known to end before which other begins (vector clocks), and
// who touched which memory last: how missing waits are found.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_ORDERING_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_ORDERING_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "third_party/cuda_emulation/emulation.h"

namespace cuda_emulation {

// By stream: how many pieces of its work are known to have ended. Not
// thread-safe; guarded by its owner.
class Clock {
 public:
  uint64_t of(int stream) const {
    return stream < static_cast<int>(times_.size()) ? times_[stream] : 0;
  }
  // One more piece of work of this stream.
  uint64_t Tick(int stream);
  // Everything that the other knows is known here, too.
  void Join(const Clock& other);
  // What it knows of this stream.
  void Join(const Clock& other, int stream);

 private:
  std::vector<uint64_t> times_;
};

// The last accesses of every byte. Not thread-safe.
class AccessHistory {
 public:
  // Work `name` with this clock, of which it is piece `time` of `stream`,
  // accesses these ranges. Returns a sentence about the first earlier access
  // that conflicts and is not known to have ended; empty if none does.
  std::string Add(const char* name, int stream, const Clock& clock,
                  const std::vector<Access>& accesses);
  // The range was freed.
  void Forget(const void* data, int64_t size_bytes);

 private:
  struct Stamp {
    int stream = -1;
    uint64_t time = 0;
    const char* name = "";
  };
  // Bytes [key, end) with the same history.
  struct Segment {
    uintptr_t end = 0;
    Stamp write;
    std::vector<Stamp> reads;  // Since the write; the last one per stream.
  };

  // Afterwards no segment contains `at` but at its beginning.
  void SplitAt(uintptr_t at);

  std::map<uintptr_t, Segment> segments_;
};

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_ORDERING_H_
