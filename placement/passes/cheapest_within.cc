#include "placement/passes/cheapest_within.h"

#include <algorithm>
#include <cmath>

namespace facet::placement {
namespace {

// Solutions closer to the bound than this are as good as exact ones: the model
// is no better.
constexpr double kCloseEnough = 1e-5;
constexpr int kMostSolved = 24;

}  // namespace

std::optional<Cheapest> CheapestWithin(
    double limit, double highest,
    const std::function<PricedChoice(double price)>& solve) {
  PricedChoice over = solve(0);
  Cheapest best{0, over.bound, 0};
  if (over.bytes <= limit) return best;
  PricedChoice within = solve(highest);
  if (within.bytes > limit || std::isinf(within.seconds)) return std::nullopt;
  best.price = highest;
  // The price at which both cost the same: a choice that is better than both
  // there takes the place of one of them; if there is none, the two are next to
  // each other on the lower hull of all choices.
  for (int solved = 2; solved < kMostSolved; ++solved) {
    if (within.seconds <= best.lower_bound * (1 + kCloseEnough)) break;
    const double price =
        (within.seconds - over.seconds) / (over.bytes - within.bytes);
    if (!(price > 0)) break;
    const PricedChoice found = solve(price);
    if (std::isinf(found.seconds)) break;
    if (const double bound = found.bound - price * limit;
        bound > best.lower_bound) {
      best.lower_bound = bound;
      best.bound_price = price;
    }
    const double known = within.seconds + price * within.bytes;
    if (found.seconds + price * found.bytes >= known * (1 - 1e-12)) break;
    if (found.bytes <= limit) {
      within = found;
      best.price = price;
    } else {
      over = found;
    }
  }
  best.lower_bound = std::min(best.lower_bound, within.seconds);
  return best;
}

}  // namespace facet::placement
