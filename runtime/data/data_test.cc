#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <set>

#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/image_folder.h"
#include "runtime/data/photograph.h"
#include "runtime/data/synthetic.h"
#include "zlib.h"

namespace facet::runtime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kPixels = 3 * 112 * 112;

std::string NewFolder(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path.string();
}

void WriteImage(const std::string& path, int rows, int cols, int value) {
  fs::create_directories(fs::path(path).parent_path());
  cv::Mat image(rows, cols, CV_8UC3, cv::Scalar(value, value / 2, 255 - value));
  if (fs::path(path).extension() == ".pgm") {
    image = cv::Mat(rows, cols, CV_8UC1, cv::Scalar(value));
  }
  ASSERT_TRUE(cv::imwrite(path, image)) << path;
}

void Truncate(const std::string& path, double fraction) {
  fs::resize_file(path, static_cast<uintmax_t>(fs::file_size(path) * fraction));
}

TEST(SyntheticTest, APartOfABatchIsThatPartOfTheWhole) {
  auto source = CreateSyntheticSource({.classes = 1000, .seed = 7});
  ASSERT_TRUE(source.ok());
  std::vector<float> whole(6 * kPixels), part(2 * kPixels);
  std::vector<int32_t> labels(6), part_labels(2);
  ASSERT_TRUE((*source)->Read(3, 0, 6, whole.data(), labels.data()).ok());
  ASSERT_TRUE((*source)->Read(3, 2, 4, part.data(), part_labels.data()).ok());
  EXPECT_TRUE(
      std::equal(part.begin(), part.end(), whole.begin() + 2 * kPixels));
  EXPECT_EQ(part_labels[1], labels[3]);
  // Another step is another batch.
  ASSERT_TRUE((*source)->Read(4, 2, 4, part.data(), part_labels.data()).ok());
  EXPECT_FALSE(
      std::equal(part.begin(), part.end(), whole.begin() + 2 * kPixels));
}

TEST(SyntheticTest, LabelsCoverTheClassesUniformly) {
  auto source = CreateSyntheticSource({.classes = 8, .seed = 1});
  ASSERT_TRUE(source.ok());
  std::vector<float> images(40 * kPixels);
  std::vector<int32_t> labels(40);
  std::map<int32_t, int> counts;
  for (int step = 0; step < 10; ++step) {
    ASSERT_TRUE(
        (*source)->Read(step, 0, 40, images.data(), labels.data()).ok());
    for (int32_t label : labels) ++counts[label];
  }
  EXPECT_EQ(counts.size(), 8u);
  for (const auto& [label, count] : counts) {
    EXPECT_TRUE(label >= 0 && label < 8);
    EXPECT_NEAR(count, 50, 30);
  }
}

TEST(SyntheticTest, RefusesOneClass) {
  EXPECT_THAT(CreateSyntheticSource({.classes = 1}).status().message(),
              HasSubstr("1 classes"));
}

TEST(ImageFolderTest, ReadsEveryFormatInNaturalOrder) {
  const std::string folder = NewFolder("formats");
  WriteImage(folder + "/s10/1.png", 50, 40, 200);
  WriteImage(folder + "/s2/10.jpg", 112, 112, 100);
  WriteImage(folder + "/s2/9.ppm", 300, 200, 50);
  std::ofstream(folder + "/s2/notes.txt") << "not a photograph";
  fs::create_directories(folder + "/empty");
  const auto scanned = ScanImageFolder(folder);
  ASSERT_TRUE(scanned.ok()) << scanned.status();
  EXPECT_EQ(scanned->people, (std::vector<std::string>{"s2", "s10"}));
  ASSERT_EQ(scanned->photographs.size(), 3u);
  EXPECT_THAT(scanned->photographs[0].path, HasSubstr("9.ppm"));
  EXPECT_EQ(scanned->photographs[2].person, 1);
  std::vector<float> image(kPixels);
  ASSERT_TRUE(
      LoadPhotograph(scanned->photographs[0].path, {}, image.data()).ok());
  // Planes red, green, blue of a constant image.
  EXPECT_NEAR(image[0], ((255 - 50) / 255.0 - 0.5) / 0.5, 1e-6);
  EXPECT_NEAR(image[112 * 112], (25 / 255.0 - 0.5) / 0.5, 1e-6);
  EXPECT_NEAR(image[kPixels - 1], (50 / 255.0 - 0.5) / 0.5, 1e-6);
}

TEST(ImageFolderTest, FlipMirrorsRows) {
  const std::string path = NewFolder("flip") + "/a.png";
  cv::Mat image(112, 112, CV_8UC3);
  cv::randu(image, 0, 255);
  ASSERT_TRUE(cv::imwrite(path, image));
  std::vector<float> plain(kPixels), flipped(kPixels);
  ASSERT_TRUE(LoadPhotograph(path, {}, plain.data()).ok());
  ASSERT_TRUE(LoadPhotograph(path, {.flip = true}, flipped.data()).ok());
  for (int row = 0; row < 3 * 112; ++row) {
    for (int x = 0; x < 112; ++x) {
      ASSERT_EQ(plain[row * 112 + x], flipped[row * 112 + 111 - x]);
    }
  }
}

TEST(ImageFolderTest, ShiftMovesAndRepeatsTheBorder) {
  const std::string path = NewFolder("shift") + "/a.png";
  cv::Mat image(112, 112, CV_8UC3);
  cv::randu(image, 0, 255);
  ASSERT_TRUE(cv::imwrite(path, image));
  std::vector<float> plain(kPixels), moved(kPixels);
  ASSERT_TRUE(LoadPhotograph(path, {.flip = true}, plain.data()).ok());
  ASSERT_TRUE(LoadPhotograph(path, {.flip = true, .shift_x = 5, .shift_y = -3},
                             moved.data())
                  .ok());
  for (int y = 0; y < 112; ++y) {
    for (int x = 0; x < 112; ++x) {
      const int from_y = std::min(y + 3, 111), from_x = std::max(x - 5, 0);
      ASSERT_EQ(moved[y * 112 + x], plain[from_y * 112 + from_x]);
    }
  }
}

TEST(ImageFolderTest, TruncatedImagesAreNamedAndSkipped) {
  const std::string folder = NewFolder("truncated");
  for (const char* name : {"a.jpg", "b.png", "c.ppm", "d.pgm"}) {
    const std::string path = folder + "/p/" + name;
    WriteImage(path, 120, 120, 90);
    Truncate(path, 0.6);
  }
  std::ofstream(folder + "/p/e.jpg") << "this is no image at all";
  std::ofstream(folder + "/p/f.png");
  WriteImage(folder + "/p/good.png", 112, 112, 10);
  const auto scanned = ScanImageFolder(folder);
  ASSERT_TRUE(scanned.ok()) << scanned.status();
  EXPECT_EQ(scanned->photographs.size(), 1u);
  ASSERT_EQ(scanned->unreadable.size(), 6u);
  EXPECT_THAT(scanned->unreadable[0], HasSubstr("a.jpg"));
}

// Half a kilobyte of header is enough to ask a decoder for gigabytes.
TEST(PhotographTest, ImagesThatUnpackToGigabytesAreRefused) {
  const std::string folder = NewFolder("bombs");
  std::vector<float> image(kPixels);
  // A whole PNG (4 MB decoded), whose header is then changed to 30000 x 30000
  // with a right checksum: only a check of the size can refuse it.
  const std::string png = folder + "/a.png";
  WriteImage(png, 1000, 1000, 7);
  std::fstream file(png, std::ios::in | std::ios::out | std::ios::binary);
  const unsigned char kHeader[] = {'I', 'H',  'D',  'R', 0, 0, 0x75, 0x30, 0,
                                   0,   0x75, 0x30, 8,   2, 0, 0,    0};
  file.seekp(12);
  file.write(reinterpret_cast<const char*>(kHeader), sizeof(kHeader));
  const auto crc = static_cast<uint32_t>(crc32_z(0, kHeader, sizeof(kHeader)));
  for (int shift = 24; shift >= 0; shift -= 8) {
    file.put(static_cast<char>(crc >> shift));
  }
  file.close();
  EXPECT_THAT(LoadPhotograph(png, {}, image.data()).message(),
              AllOf(HasSubstr("a.png"), HasSubstr("30000 x 30000 pixels")));

  // A JPEG's frame header: "FF C0 length(2) precision height(2) width(2)".
  const std::string jpeg = folder + "/b.jpg";
  WriteImage(jpeg, 200, 100, 7);
  EXPECT_TRUE(LoadPhotograph(jpeg, {}, image.data()).ok());
  std::ifstream in(jpeg, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(in), {});
  const size_t frame = content.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  content.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");
  std::ofstream(jpeg, std::ios::binary) << content;
  EXPECT_THAT(LoadPhotograph(jpeg, {}, image.data()).message(),
              AllOf(HasSubstr("b.jpg"), HasSubstr("65500 x 65500 pixels")));

  std::ofstream(folder + "/c.pgm") << "P2 # text\n40000 30000 255\n1 1 1";
  EXPECT_THAT(LoadPhotograph(folder + "/c.pgm", {}, image.data()).message(),
              AllOf(HasSubstr("c.pgm"), HasSubstr("40000 x 30000 pixels")));
  std::ofstream(folder + "/d.pgm") << "P2 400 300 255\n1 1 1";
  EXPECT_THAT(LoadPhotograph(folder + "/d.pgm", {}, image.data()).message(),
              AllOf(HasSubstr("d.pgm"), HasSubstr("truncated")));
}

TEST(ImageFolderTest, OddNamesAreNames) {
  const std::string folder = NewFolder("odd names");
  const std::string person = folder + "/Zo\xC3\xAB \xFF\n\"q\"";
  WriteImage(person + "/fo to\n\xC3\xA9.png", 112, 112, 10);
  const auto scanned = ScanImageFolder(folder);
  ASSERT_TRUE(scanned.ok()) << scanned.status();
  ASSERT_EQ(scanned->photographs.size(), 1u);
  EXPECT_EQ(folder + "/" + scanned->people[0], person);
}

// Nobody's folder is neither a person nor passed over in silence.
TEST(ImageFolderTest, APersonWithoutPhotographsIsNamed) {
  const std::string folder = NewFolder("nobody");
  WriteImage(folder + "/p1/a.png", 112, 112, 10);
  fs::create_directories(folder + "/p0");
  FLAGS_logtostderr = true;
  testing::internal::CaptureStderr();
  const auto scanned = ScanImageFolder(folder);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("/p0 has no readable photograph"));
  ASSERT_TRUE(scanned.ok()) << scanned.status();
  EXPECT_EQ(scanned->people, std::vector<std::string>{"p1"});
  EXPECT_EQ(scanned->photographs[0].person, 0);
}

TEST(ImageFolderTest, SaysWhatIsWrongWithAFolder) {
  EXPECT_THAT(ScanImageFolder("/no/such/folder").status().message(),
              HasSubstr("/no/such/folder"));
  const std::string empty = NewFolder("nobody");
  EXPECT_THAT(ScanImageFolder(empty).status().message(),
              HasSubstr("one sub-folder per person"));
  WriteImage(empty + "/p/a.jpg", 112, 112, 1);
  Truncate(empty + "/p/a.jpg", 0.5);
  EXPECT_THAT(ScanImageFolder(empty).status().message(),
              HasSubstr("1 unreadable"));
}

TEST(FolderSourceTest, EveryEpochHasEveryPhotographOnce) {
  const std::string folder = NewFolder("epochs");
  for (int i = 0; i < 7; ++i) {
    WriteImage(folder + "/p" + std::to_string(i) + "/a.png", 112, 112, 30 * i);
  }
  const auto scanned = ScanImageFolder(folder);
  ASSERT_TRUE(scanned.ok());
  auto source =
      CreateFolderSource(scanned->photographs, {.seed = 5, .batch_size = 3});
  ASSERT_TRUE(source.ok());
  std::vector<int32_t> sequence(42);
  std::vector<float> images(3 * kPixels);
  // In pieces of uneven size, as devices read them.
  for (int step = 0; step < 14; ++step) {
    ASSERT_TRUE(
        (*source)->Read(step, 0, 2, images.data(), &sequence[3 * step]).ok());
    ASSERT_TRUE((*source)
                    ->Read(step, 2, 3, images.data(), &sequence[3 * step + 2])
                    .ok());
  }
  std::set<std::vector<int32_t>> orders;
  for (int epoch = 0; epoch < 6; ++epoch) {
    std::vector<int32_t> order(sequence.begin() + 7 * epoch,
                               sequence.begin() + 7 * epoch + 7);
    orders.insert(order);
    EXPECT_EQ(std::set<int32_t>(order.begin(), order.end()).size(), 7u);
  }
  EXPECT_GT(orders.size(), 3u);  // Shuffled anew.
}

// A photograph with one bright pixel: where it goes says how it was moved.
TEST(FolderSourceTest, ShiftsAreRandomAndWithinTheLimit) {
  const std::string folder = NewFolder("shifts");
  cv::Mat image(112, 112, CV_8UC3, cv::Scalar(0, 0, 0));
  image.at<cv::Vec3b>(50, 60) = {255, 255, 255};
  fs::create_directories(folder + "/p");
  ASSERT_TRUE(cv::imwrite(folder + "/p/a.png", image));
  const auto scanned = ScanImageFolder(folder);
  ASSERT_TRUE(scanned.ok());
  auto source = CreateFolderSource(
      scanned->photographs, {.seed = 5, .batch_size = 200, .max_shift = 2});
  ASSERT_TRUE(source.ok());
  std::vector<int32_t> labels(200);
  std::vector<float> images(200 * kPixels), again(kPixels);
  ASSERT_TRUE((*source)->Read(3, 0, 200, images.data(), labels.data()).ok());
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int i = 0; i < 200; ++i) {
    const auto begin = images.begin() + i * kPixels;
    const int64_t at = std::max_element(begin, begin + 112 * 112) - begin;
    const int64_t x = at % 112, y = at / 112 - 50;
    seen.emplace(x > 55 ? x - 60 : x - 51, y);
  }
  // All 25 shifts, of both the plain and the mirrored one, and no other.
  EXPECT_EQ(seen.size(), 25u);
  for (const auto& [x, y] : seen) {
    EXPECT_LE(std::abs(x), 2);
    EXPECT_LE(std::abs(y), 2);
  }
  // A function of seed, step and place in the batch.
  ASSERT_TRUE((*source)->Read(3, 7, 8, again.data(), labels.data()).ok());
  EXPECT_TRUE(
      std::equal(again.begin(), again.end(), images.begin() + 7 * kPixels));
  EXPECT_THAT(CreateFolderSource(scanned->photographs,
                                 {.batch_size = 1, .max_shift = 112})
                  .status()
                  .message(),
              HasSubstr("112 pixels"));
}

}  // namespace
}  // namespace facet::runtime
