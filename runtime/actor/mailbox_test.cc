#include "runtime/actor/mailbox.h"

#include <algorithm>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(MailboxTest, TakesAllThatWaitsInOrder) {
  Mailbox mailbox(4);
  std::vector<int> edges = {99};
  for (int edge : {3, 1, 2}) mailbox.Post(edge);
  mailbox.Take(&edges);
  EXPECT_THAT(edges, ElementsAre(3, 1, 2));
  mailbox.Post(7);
  mailbox.Take(&edges);
  EXPECT_THAT(edges, ElementsAre(7));
}

TEST(MailboxTest, AWakeIsForOneTake) {
  Mailbox mailbox(4);
  std::vector<int> edges = {99};
  mailbox.Wake();
  mailbox.Take(&edges);
  EXPECT_THAT(edges, IsEmpty());
  // The next one waits again.
  std::thread poster([&] { mailbox.Post(5); });
  mailbox.Take(&edges);
  poster.join();
  EXPECT_THAT(edges, ElementsAre(5));
}

TEST(MailboxTest, LosesNothingOfManyPosters) {
  constexpr int kPosters = 4, kEach = 500;
  Mailbox mailbox(kPosters * kEach);
  std::vector<std::thread> posters;
  for (int p = 0; p < kPosters; ++p) {
    posters.emplace_back([&mailbox, p] {
      for (int i = 0; i < kEach; ++i) mailbox.Post(p * kEach + i);
    });
  }
  std::vector<int> all, edges;
  while (all.size() < size_t{kPosters} * kEach) {
    mailbox.Take(&edges);
    all.insert(all.end(), edges.begin(), edges.end());
  }
  for (std::thread& poster : posters) poster.join();
  std::vector<int> last(kPosters, -1);
  for (int edge : all) {
    EXPECT_EQ(edge, edge / kEach * kEach + last[edge / kEach] + 1);
    last[edge / kEach] = edge % kEach;
  }
}

}  // namespace
}  // namespace facet::runtime
