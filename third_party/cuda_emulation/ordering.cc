#include "third_party/cuda_emulation/ordering.h"

#include <algorithm>

namespace cuda_emulation {

uint64_t Clock::Tick(int stream) {
  if (stream >= static_cast<int>(times_.size())) times_.resize(stream + 1);
  return ++times_[stream];
}

void Clock::Join(const Clock& other) {
  times_.resize(std::max(times_.size(), other.times_.size()));
  for (size_t s = 0; s < other.times_.size(); ++s) {
    times_[s] = std::max(times_[s], other.times_[s]);
  }
}

void Clock::Join(const Clock& other, int stream) {
  if (of(stream) >= other.of(stream)) return;
  if (stream >= static_cast<int>(times_.size())) times_.resize(stream + 1);
  times_[stream] = other.of(stream);
}

void AccessHistory::SplitAt(uintptr_t at) {
  auto it = segments_.upper_bound(at);
  if (it == segments_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Segment rest = it->second;
  it->second.end = at;
  segments_[at] = std::move(rest);
}

std::string AccessHistory::Add(const char* name, int stream, const Clock& clock,
                               const std::vector<Access>& accesses) {
  std::string conflict;
  const Stamp now = {stream, clock.of(stream), name};
  auto compare = [&](const Stamp& earlier, const char* did, bool writes) {
    if (earlier.stream < 0 || earlier.time <= clock.of(earlier.stream)) return;
    if (!conflict.empty()) return;
    conflict = std::string(name) + " on stream " + std::to_string(stream) +
               (writes ? " writes" : " reads") + " what " + earlier.name +
               " on stream " + std::to_string(earlier.stream) + " " + did +
               ", without having waited for its end";
  };
  for (const Access& access : accesses) {
    if (access.size_bytes <= 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(access.data);
    const uintptr_t end = begin + access.size_bytes;
    SplitAt(begin);
    SplitAt(end);
    uintptr_t at = begin;
    auto it = segments_.lower_bound(begin);
    while (at < end) {
      // Bytes without a history get one.
      if (it == segments_.end() || it->first > at) {
        Segment fresh;
        fresh.end = it == segments_.end() ? end : std::min(end, it->first);
        it = segments_.emplace(at, std::move(fresh)).first;
      }
      Segment& segment = it->second;
      compare(segment.write, "writes", access.writes);
      if (access.writes) {
        for (const Stamp& read : segment.reads) compare(read, "reads", true);
        segment.write = now;
        segment.reads.clear();
      } else {
        auto same = std::find_if(
            segment.reads.begin(), segment.reads.end(),
            [&](const Stamp& read) { return read.stream == stream; });
        if (same == segment.reads.end()) {
          segment.reads.push_back(now);
        } else {
          *same = now;
        }
      }
      at = segment.end;
      ++it;
    }
  }
  return conflict;
}

void AccessHistory::Forget(const void* data, int64_t size_bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  SplitAt(begin);
  SplitAt(begin + size_bytes);
  segments_.erase(segments_.lower_bound(begin),
                  segments_.lower_bound(begin + size_bytes));
}

}  // namespace cuda_emulation
