#include "benchmarks/rows/row.h"

#include <set>

#include "benchmarks/published.h"
#include "benchmarks/rows/contestants.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::benchmarks {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> Names(const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) names.push_back(row.name);
  return names;
}

TEST(RowTest, EveryPublishedFigureHasItsRowAndKeepsItsClasses) {
  for (const int64_t scale : {1, 32, 512, 4096}) {
    const std::vector<Row> rows = RowsOfPublishedTables(scale);
    const std::vector<PublishedRow>& published = PublishedRows();
    ASSERT_EQ(rows.size(), published.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].classes, published[i].classes);
      EXPECT_EQ(rows[i].published_batch_size, published[i].batch_size);
      EXPECT_EQ(rows[i].half, published[i].half);
      EXPECT_EQ(rows[i].partial_fc(), published[i].partial_fc);
      EXPECT_EQ(rows[i].published_samples_per_second,
                published[i].samples_per_second);
      if (rows[i].batch_size > 1) {
        EXPECT_EQ(rows[i].batch_size * scale, published[i].batch_size);
      } else {
        EXPECT_LE(published[i].batch_size, scale);
      }
      EXPECT_GE(rows[i].batch_size, 1);
    }
  }
}

TEST(RowTest, NamesAreUniqueAndSayWhatTheRowIs) {
  const auto all = SelectRows("all", 32);
  ASSERT_TRUE(all.ok());
  const std::vector<std::string> names = Names(*all);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(),
            names.size());
  for (const Row& row : *all) {
    if (row.opponent == Opponent::kOneDevice) continue;
    const bool says_half = row.name.find("fp16") != std::string::npos;
    const bool says_sampled = row.name.find("_pfc_") != std::string::npos;
    const bool says_state = row.name.find("_state16_") != std::string::npos;
    EXPECT_EQ(says_half, row.half) << row.name;
    EXPECT_EQ(says_state, row.half_state) << row.name;
    EXPECT_EQ(says_sampled, row.partial_fc()) << row.name;
  }
  EXPECT_THAT(names, Contains("2m_fp16_pfc_b2048"));
  EXPECT_THAT(names, Contains("618k_fp32_b16"));
  EXPECT_THAT(names, Contains("10m_fp32_state16_b16"));
}

TEST(RowTest, ACoreGetsEightImagesOfTheSmallestPublishedBatch) {
  for (int cores = 1; cores <= 256; ++cores) {
    const int64_t scale = AutomaticBatchScale(cores);
    EXPECT_EQ(scale & (scale - 1), 0) << cores;
    EXPECT_LE(512 / scale, 8 * cores) << cores;
    if (scale > 1) {
      EXPECT_GT(2 * 512 / scale, 8 * cores) << cores;
    }
  }
  EXPECT_EQ(AutomaticBatchScale(2), 32);
  EXPECT_EQ(GpuBatchScale(1), 8);
  EXPECT_EQ(GpuBatchScale(8), 1);
  EXPECT_EQ(GpuBatchScale(16), 1);
}

TEST(RowTest, RowsAreSelectedByNameInTheOrderGiven) {
  const auto rows =
      SelectRows(" 618k_fp32_b512, 10k_fp32_b16,618k_fp32_b512", 32);
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(Names(*rows), ElementsAre("618k_fp32_b512", "10k_fp32_b16"));
  EXPECT_EQ(SelectRows("published", 32)->size(), 14u);
  EXPECT_EQ(SelectRows("bars", 32)->size() + 14, SelectRows("all", 32)->size());
  EXPECT_TRUE(SelectRows("none", 32)->empty());
  const auto unknown = SelectRows("618k_fp32_b512,3m", 32);
  EXPECT_THAT(std::string(unknown.status().message()),
              testing::AllOf(HasSubstr("\"3m\""), HasSubstr("2m_fp32_b512")));
  EXPECT_FALSE(SelectRows(" , ", 32).ok());
}

TEST(ContestantsTest, BothGetTheRowAsItIs) {
  Contestants c;
  c.training = {"/facet", "train"};
  c.python = "/python";
  c.peer_script = "/script.py";
  c.peer = "/peer";
  c.cores = 4;
  c.devices = 3;
  c.steps = 7;
  c.warmup = 2;
  Row row;
  row.classes = 1000;
  row.batch_size = 12;
  row.half = true;
  row.sample_rate = 0.1;
  const auto ours = OurCommand(c, row, "/out.json");
  EXPECT_THAT(
      ours, ElementsAre("/facet", "train", "--devices=cpu:3", "--classes=1000",
                        "--batch_size=12", "--steps=7", "--warmup=2", "--fp16",
                        "--partial_fc=0.1", "--json=/out.json"));
  const auto peer = OpponentCommand(c, row, "/out.json");
  EXPECT_THAT(
      peer, ElementsAre("/python", "/script.py", "--peer=/peer", "--device=cpu",
                        "--threads=4", "--classes=1000", "--batch_size=12",
                        "--steps=7", "--warmup=2", "--fp16", "--partial_fc=0.1",
                        "--json=/out.json"));
  // The peer trains such a row in float32.
  row.half_state = true;
  EXPECT_THAT(OurCommand(c, row, "/out.json"),
              AllOf(Contains("--weight_type=bfloat16"),
                    Contains("--momentum_type=bfloat16")));
  EXPECT_EQ(OpponentCommand(c, row, "/out.json"), peer);
  row.half_state = false;
  row.half = false;
  row.sample_rate = 1;
  row.opponent = Opponent::kOneDevice;
  EXPECT_THAT(OurCommand(c, row, "/out.json"), Contains("--devices=cpu:2"));
  EXPECT_THAT(OurCommand(c, row, "/out.json"), Not(Contains("--fp16")));
  const auto one = OpponentCommand(c, row, "/out.json");
  EXPECT_THAT(one, Contains("--devices=cpu:1"));
  EXPECT_EQ(one[0], "/facet");
  c.device_kind = "cuda";
  EXPECT_THAT(OurCommand(c, row, "/out.json"), Contains("--devices=cuda:2"));
}

}  // namespace
}  // namespace facet::benchmarks
