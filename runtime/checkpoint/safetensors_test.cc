#include "runtime/checkpoint/safetensors.h"

#include <stdlib.h>

#include <fstream>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet::runtime {
namespace {

using ops::DataType;
using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest() : path_(testing::TempDir() + "/safetensors_XXXXXX") {
    close(mkstemp(path_.data()));
  }
  ~SafetensorsTest() override { unlink(path_.c_str()); }

  absl::StatusOr<SafetensorsHeader> ReadBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return ReadHeader(path_);
  }
  // A file with this header and so many bytes of tensors.
  absl::StatusOr<SafetensorsHeader> ReadJson(const std::string& json,
                                             size_t data_bytes) {
    std::string length(8, '\0');
    length[0] = static_cast<char>(json.size() & 0xff);
    length[1] = static_cast<char>(json.size() >> 8);
    return ReadBytes(length + json + std::string(data_bytes, 'x'));
  }
  std::string ErrorOf(const std::string& json, size_t data_bytes) {
    const absl::Status status = ReadJson(json, data_bytes).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
    return std::string(status.message());
  }

  std::string path_;
};

SafetensorsHeader Some() {
  SafetensorsHeader header;
  header.metadata = {{"facet_step", "12"}, {"model", "\"r18\""}};
  header.tensors = {{"b", {DataType::kFloat32, {2, 3}}},
                    {"a", {DataType::kBFloat16, {5}}},
                    {"scalar", {DataType::kFloat16, {}}},
                    {"none", {DataType::kInt64, {0, 4}}},
                    {"n", {DataType::kInt32, {1}}}};
  return header;
}

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  const SafetensorsHeader some = Some();
  const std::string encoded = EncodeHeader(some);
  EXPECT_EQ(encoded.size() % 8, 0);
  const auto read = ReadBytes(encoded + std::string(24 + 10 + 2 + 0 + 4, 'x'));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metadata, some.metadata);
  ASSERT_EQ(read->tensors.size(), some.tensors.size());
  int64_t position = static_cast<int64_t>(encoded.size());
  for (size_t i = 0; i < some.tensors.size(); ++i) {
    EXPECT_EQ(read->tensors[i].name, some.tensors[i].name);
    EXPECT_EQ(read->tensors[i].type, some.tensors[i].type);
    EXPECT_EQ(read->tensors[i].position, position);
    position += some.tensors[i].type.size_bytes();
  }
}

TEST_F(SafetensorsTest, SaysWhatIsWrong) {
  EXPECT_EQ(ReadHeader(path_ + ".no").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(ReadBytes("").status().message(), HasSubstr("cut off"));
  EXPECT_THAT(ReadBytes(std::string(100, '\xff')).status().message(),
              HasSubstr("no safetensors file"));
  EXPECT_THAT(ErrorOf("{]", 0), HasSubstr("damaged"));
  EXPECT_THAT(ErrorOf(R"({"a": 1})", 0), HasSubstr("tensor a: no dtype"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}})",
          8),
      HasSubstr("type F64; Facet has F32"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})",
          7),
      HasSubstr("larger than the file"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})",
          8),
      HasSubstr("bytes 0 to 8 of 8 for a tensor of 4"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})",
          4),
      HasSubstr("no dtype, shape"));
  EXPECT_THAT(
      ErrorOf(
          R"({"a": {"dtype": "F32", "shape": [4611686018427387904, 4, 0],
              "data_offsets": [0, 0]}})",
          0),
      HasSubstr("larger than the file"));
  const std::string at_4 =
      R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})";
  EXPECT_THAT(ErrorOf(at_4, 8), HasSubstr("begins at byte 4"));
  const std::string at_0 =
      R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})";
  EXPECT_THAT(ErrorOf(at_0, 8), HasSubstr("8 bytes of tensors, 4 are"));
  EXPECT_TRUE(ReadJson(at_0, 4).ok());
}

// Cut off anywhere, or with any byte changed: an error, or a header that fits
// the file.
TEST_F(SafetensorsTest, NeverCrashesOnDamage) {
  const std::string whole = EncodeHeader(Some()) + std::string(40, 'x');
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ReadBytes(whole.substr(0, size)).ok()) << size;
  }
  std::mt19937 random(1);
  int read = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (int n = 0; n <= i % 3; ++n) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    const auto header = ReadBytes(damaged);
    if (!header.ok()) continue;
    ++read;
    for (const StoredTensor& tensor : header->tensors) {
      EXPECT_GE(tensor.position, 8);
      EXPECT_LE(tensor.position + tensor.type.size_bytes(),
                static_cast<int64_t>(damaged.size()));
    }
  }
  EXPECT_GT(read, 0);  // Names and values of no importance change, too.
}

}  // namespace
}  // namespace facet::runtime
