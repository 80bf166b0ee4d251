// RankPlaces: which process each rank of a communicator is in.
#ifndef FACET_RUNTIME_COLLECTIVES_RANK_PLACES_H_
#define FACET_RUNTIME_COLLECTIVES_RANK_PLACES_H_

#include <algorithm>
#include <map>
#include <vector>

#include "runtime/processes/process_group.h"

namespace facet::runtime {

// Default: all ranks are in this process.
struct RankPlaces {
  ProcessGroup* processes = nullptr;  // Not owned.
  std::vector<int> process_of;        // By rank. Empty without `processes`.
  // Tags of the messages between the ranks: from this one, num_tags() many.
  int first_tag = 1;

  bool IsHere(int rank) const {
    return processes == nullptr || process_of[rank] == processes->rank();
  }
  bool AllHere() const {
    for (size_t r = 0; r < process_of.size(); ++r) {
      if (!IsHere(static_cast<int>(r))) return false;
    }
    return true;
  }

  // The most ranks that one process has.
  int MostInOneProcess() const {
    std::map<int, int> ranks;
    int most = 0;
    for (int process : process_of) most = std::max(most, ++ranks[process]);
    return most;
  }
  // Two processes tell messages of different pairs of their ranks apart.
  int num_tags() const { return MostInOneProcess() * MostInOneProcess(); }
  int TagOf(int from, int to) const {
    return first_tag + IndexInProcess(from) * MostInOneProcess() +
           IndexInProcess(to);
  }

 private:
  int IndexInProcess(int rank) const {
    return static_cast<int>(std::count(
        process_of.begin(), process_of.begin() + rank, process_of[rank]));
  }
};

}  // namespace facet::runtime

#endif  // FACET_RUNTIME_COLLECTIVES_RANK_PLACES_H_
