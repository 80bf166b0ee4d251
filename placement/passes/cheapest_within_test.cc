#include "placement/passes/cheapest_within.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Choice {
  double seconds, bytes;
};

const Choice& BestAt(const std::vector<Choice>& choices, double price) {
  return *std::min_element(
      choices.begin(), choices.end(), [&](const Choice& a, const Choice& b) {
        return a.seconds + price * a.bytes < b.seconds + price * b.bytes;
      });
}

TEST(CheapestWithinTest, IsOnTheHullAndTheBoundHolds) {
  int none = 0, exact = 0, gaps = 0;
  for (int seed = 0; seed < 500; ++seed) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> number(0.1, 1);
    std::vector<Choice> choices(1 + random() % 60);
    for (Choice& c : choices) c = {number(random), 1e9 * number(random)};
    const double limit = 1e9 * number(random);
    double least = kInfinity;
    for (const Choice& c : choices) {
      if (c.bytes <= limit) least = std::min(least, c.seconds);
    }
    int solved = 0;
    const auto found = CheapestWithin(limit, 1e-3, [&](double price) {
      ++solved;
      const Choice& c = BestAt(choices, price);
      return PricedChoice{c.seconds, c.bytes, c.seconds + price * c.bytes};
    });
    EXPECT_LE(solved, 24);
    ASSERT_EQ(found.has_value(), least < kInfinity) << seed;
    if (!found.has_value()) {
      ++none;
      continue;
    }
    const Choice& choice = BestAt(choices, found->price);
    EXPECT_LE(choice.bytes, limit);
    EXPECT_GE(choice.seconds, least);
    EXPECT_LE(found->lower_bound, least);
    (choice.seconds == least ? exact : gaps)++;
    // The best of the hull within the limit: a higher price than it needs would
    // lead to fewer bytes and more seconds.
    for (const Choice& c : choices) {
      const bool on_hull = [&] {
        for (double price = 1e-13; price < 1e-4; price *= 1.02) {
          if (&BestAt(choices, price) == &c) return true;
        }
        return false;
      }();
      if (on_hull && c.bytes <= limit) {
        EXPECT_LE(choice.seconds, c.seconds) << seed;
      }
    }
    // Dual: no price gives a higher bound.
    for (double price = 1e-13; price < 1e-4; price *= 1.1) {
      const Choice& c = BestAt(choices, price);
      EXPECT_LE(std::min(choice.seconds, c.seconds + price * (c.bytes - limit)),
                found->lower_bound * (1 + 1e-5))
          << seed;
    }
  }
  EXPECT_GT(none, 5);
  EXPECT_GT(exact, 100);
  EXPECT_GT(gaps, 10);
}

// A search that does not always find something.
TEST(CheapestWithinTest, WhatIsNotFoundIsNotTaken) {
  const std::vector<Choice> choices = {{1, 100}, {2, 50}, {4, 10}};
  for (const double failing : {1e3, 0.03}) {
    bool failed = false;
    const auto found = CheapestWithin(60, 1e3, [&](double price) {
      const Choice& c = BestAt(choices, price);
      const double cost = c.seconds + price * c.bytes;
      const bool fails = price >= failing && (failing > 1 || price < 1);
      failed = failed || fails;
      return PricedChoice{fails ? kInfinity : c.seconds, c.bytes, cost};
    });
    EXPECT_TRUE(failed);
    EXPECT_EQ(found.has_value(), failing < 1);
    if (!found.has_value()) continue;
    EXPECT_EQ(BestAt(choices, found->price).bytes, 10);
    EXPECT_LE(found->lower_bound, 2);
  }
}

// A search that gives only a bound: nothing is taken for better than it is.
TEST(CheapestWithinTest, KeepsToWhatIsProven) {
  const std::vector<Choice> choices = {{1, 100}, {2, 50}, {4, 10}};
  const auto found = CheapestWithin(60, 1e3, [&](double price) {
    const Choice& c = BestAt(choices, price);
    return PricedChoice{c.seconds, c.bytes,
                        0.5 * (c.seconds + price * c.bytes)};
  });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(BestAt(choices, found->price).seconds, 2);
  EXPECT_LE(found->lower_bound, 1);
  EXPECT_GE(found->lower_bound, 0.5);
}

}  // namespace
}  // namespace facet::placement
