// CheapestWithin: the least cost within a limit on a second quantity, by giving
// that quantity a price (Lagrangian relaxation: Everett, "Generalized Lagrange
// multiplier method for solving problems of optimum allocation of resources",
// 1963).
#ifndef FACET_PLACEMENT_PASSES_CHEAPEST_WITHIN_H_
#define FACET_PLACEMENT_PASSES_CHEAPEST_WITHIN_H_

#include <functional>
#include <optional>

namespace facet::placement {

// A choice that is best at some price: for it, seconds + price * bytes is least
// (or hardly more: `bound` says what it cannot be less than).
struct PricedChoice {
  double seconds = 0;  // Infinity: none was found, though there may be some.
  double bytes = 0;
  double bound = 0;  // <= seconds + price * bytes of every choice.
};

struct Cheapest {
  double price = 0;        // At which the choice was found.
  double lower_bound = 0;  // Of the seconds of all choices within the limit.
  // At which `lower_bound` was found: what a byte more would save.
  double bound_price = 0;
};

// Of the choices that are best at some price, the one with the least seconds
// that takes no more than `limit` bytes. Others may be better: by no more than
// its seconds are above the lower bound. Nothing if none that was found takes
// so little. `solve` is called some ten times, with prices from 0 (first; if
// that choice is within the limit, only) to `highest`.
std::optional<Cheapest> CheapestWithin(
    double limit, double highest,
    const std::function<PricedChoice(double price)>& solve);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PASSES_CHEAPEST_WITHIN_H_
