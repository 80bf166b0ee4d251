#include "ops/graph/attributes.h"

#include "gtest/gtest.h"

namespace facet::ops {
namespace {

TEST(AttributesTest, KeepsValuesByType) {
  Attributes attributes = {{"flag", true},
                           {"count", int64_t{3}},
                           {"rate", 0.5},
                           {"name", std::string("loss")},
                           {"shape", std::vector<int64_t>{2, 4}}};
  EXPECT_TRUE(attributes.Bool("flag"));
  EXPECT_EQ(attributes.Int("count"), 3);
  EXPECT_EQ(attributes.Float("rate"), 0.5);
  EXPECT_EQ(attributes.String("name"), "loss");
  EXPECT_EQ(attributes.Ints("shape"), (std::vector<int64_t>{2, 4}));
  EXPECT_TRUE(attributes.Has("rate"));
  EXPECT_FALSE(attributes.Has("rates"));
  attributes.Set("count", int64_t{4});
  EXPECT_EQ(attributes.Int("count"), 4);
}

TEST(AttributesTest, AreOrderedByName) {
  Attributes attributes;
  attributes.Set("zeta", int64_t{1});
  attributes.Set("alpha", int64_t{2});
  attributes.Set("mid", int64_t{3});
  std::string names;
  for (const auto& [name, value] : attributes.values()) names += name + " ";
  EXPECT_EQ(names, "alpha mid zeta ");
}

TEST(AttributesTest, Text) {
  EXPECT_EQ(AttributeToString(true), "true");
  EXPECT_EQ(AttributeToString(false), "false");
  EXPECT_EQ(AttributeToString(int64_t{-3}), "-3");
  EXPECT_EQ(AttributeToString(0.5), "0.5");
  EXPECT_EQ(AttributeToString(1e-12), "1e-12");
  EXPECT_EQ(AttributeToString(std::string("text")), "\"text\"");
  EXPECT_EQ(AttributeToString(std::vector<int64_t>{1, 2}), "[1, 2]");
  EXPECT_EQ(AttributeToString(std::vector<int64_t>{}), "[]");
}

TEST(AttributesTest, AMissingOneIsABug) {
  const Attributes attributes = {{"count", int64_t{3}}};
  EXPECT_DEATH(attributes.Int("counts"), "no attribute \"counts\"");
}

TEST(AttributesDeathTest, AnotherTypeIsABugAndSaysSo) {
  const Attributes attributes = {{"stride", int64_t{2}}};
  EXPECT_DEATH(attributes.Float("stride"), "stride.*2.*another type");
}

}  // namespace
}  // namespace facet::ops
