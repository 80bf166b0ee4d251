#include "placement/plan/memory_reuse.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace facet::placement {

std::vector<Reuse> FindReuse(const std::vector<MemorySpan>& spans) {
  struct Event {
    int64_t address;
    bool begins;
    int span;
  };
  std::vector<Event> events;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].begin >= spans[i].end) continue;
    events.push_back({spans[i].begin, true, static_cast<int>(i)});
    events.push_back({spans[i].end, false, static_cast<int>(i)});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.address, a.begins, a.span) <
           std::tie(b.address, b.begins, b.span);
  });

  std::vector<Reuse> found;
  std::set<std::pair<int, int>> here;  // (order, span) at this address.
  for (const Event& event : events) {
    const std::pair<int, int> key{spans[event.span].order, event.span};
    if (event.begins) {
      auto it = here.insert(key).first;
      const bool is_first = it == here.begin();
      const bool is_last = std::next(it) == here.end();
      if (!is_first) found.push_back({std::prev(it)->second, event.span, 0});
      if (!is_last) found.push_back({event.span, std::next(it)->second, 0});
      if (is_first || is_last) {
        found.push_back({here.rbegin()->second, here.begin()->second, 1});
      }
    } else {
      auto next = here.erase(here.find(key));
      if (here.empty()) continue;
      const bool was_first = next == here.begin();
      const bool was_last = next == here.end();
      if (was_first || was_last) {
        found.push_back({here.rbegin()->second, here.begin()->second, 1});
      } else {
        found.push_back({std::prev(next)->second, next->second, 0});
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const Reuse& a, const Reuse& b) {
    return std::tie(a.earlier, a.later, a.steps) <
           std::tie(b.earlier, b.later, b.steps);
  });
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace facet::placement
