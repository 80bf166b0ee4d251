#include "ops/graph/sbp.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(SbpTest, TextAndBack) {
  for (const auto& [sbp, text] :
       {std::pair(Sbp::S(0), "S(0)"), std::pair(Sbp::S(3), "S(3)"),
        std::pair(Sbp::B(), "B"), std::pair(Sbp::PSum(), "P(sum)"),
        std::pair(Sbp::PMax(), "P(max)")}) {
    EXPECT_EQ(sbp.ToString(), text);
    const absl::StatusOr<Sbp> parsed = ParseSbp(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, sbp);
  }
}

TEST(SbpTest, ParsingRefusesOtherTextWithTheChoices) {
  for (const char* text : {"", "S", "S()", "S(x)", "S(-1)", "S(6)", "S(0",
                           "s(0)", "b", "P", "P(min)", "B "}) {
    const absl::StatusOr<Sbp> parsed = ParseSbp(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
    const std::string message(parsed.status().message());
    EXPECT_NE(message.find("\"" + std::string(text) + "\""), std::string::npos)
        << message;
    EXPECT_NE(message.find("S(i)"), std::string::npos) << message;
  }
}

TEST(SbpTest, EqualityAndOrder) {
  EXPECT_NE(Sbp::S(0), Sbp::S(1));
  EXPECT_NE(Sbp::PSum(), Sbp::PMax());
  EXPECT_EQ(Sbp(), Sbp::B());
  // By kind, then axis: the order in which maps keyed by SBP are iterated.
  EXPECT_LT(Sbp::S(0), Sbp::S(1));
  EXPECT_LT(Sbp::S(5), Sbp::B());
  EXPECT_LT(Sbp::B(), Sbp::PSum());
  EXPECT_LT(Sbp::PSum(), Sbp::PMax());
  EXPECT_FALSE(Sbp::B() < Sbp::B());
}

TEST(SbpTest, Kinds) {
  EXPECT_TRUE(Sbp::S(1).is_split());
  EXPECT_TRUE(Sbp::B().is_broadcast());
  EXPECT_TRUE(Sbp::PSum().is_partial());
  EXPECT_TRUE(Sbp::PMax().is_partial());
  EXPECT_FALSE(Sbp::B().is_partial());
  EXPECT_FALSE(Sbp::PSum().is_split());
}

}  // namespace
}  // namespace facet::ops
