#include "placement/kernel_spec_text.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace facet::placement {
namespace {

ops::KernelSpec Spec() {
  ops::KernelSpec spec;
  spec.attributes = {{"stride", int64_t{2}},
                     {"algorithm", std::string("auto")}};
  ops::TensorSlice slice;
  slice.dtype = ops::DataType::kBFloat16;
  slice.layout = ops::Layout::kBlocked16;
  slice.shape = slice.global_shape = {2, 16, 3, 3};
  slice.offset = {0, 0, 0, 0};
  spec.inputs = {slice};
  slice.global_shape = {4, 16, 3, 3};
  slice.offset = {2, 0, 0, 0};
  spec.outputs = {slice};
  return spec;
}

TEST(KernelSpecText, IsOneReadableLine) {
  EXPECT_EQ(KernelSpecText("conv2d", Spec()),
            "conv2d 0/1 algorithm=\"auto\" stride=2 bfloat16 nChw16c "
            "[2, 16, 3, 3]; -> bfloat16 nChw16c [2, 16, 3, 3] of "
            "[4, 16, 3, 3] at [2, 0, 0, 0];");
}

TEST(KernelSpecText, AnyDifferenceShows) {
  std::set<std::string> texts = {KernelSpecText("conv2d", Spec()),
                                 KernelSpecText("matmul", Spec())};
  size_t count = texts.size();
  auto differs = [&](auto change) {
    ops::KernelSpec spec = Spec();
    change(&spec);
    texts.insert(KernelSpecText("conv2d", spec));
    EXPECT_EQ(texts.size(), ++count) << *texts.rbegin();
  };
  differs([](auto* s) { s->rank = 1; });
  differs([](auto* s) { s->num_ranks = 2; });
  differs([](auto* s) { s->attributes.Set("stride", int64_t{1}); });
  differs([](auto* s) { s->attributes.Set("padding", int64_t{1}); });
  differs([](auto* s) { s->inputs[0].dtype = ops::DataType::kFloat32; });
  differs([](auto* s) { s->inputs[0].layout = ops::Layout::kRowMajor; });
  differs([](auto* s) { s->inputs[0].shape = {1, 16, 3, 3}; });
  differs([](auto* s) { s->outputs[0].global_shape = {5, 16, 3, 3}; });
  differs([](auto* s) { s->outputs[0].offset = {1, 0, 0, 0}; });
  differs([](auto* s) { s->inputs.swap(s->outputs); });
  differs([](auto* s) { s->inputs.push_back(s->inputs[0]); });
  differs([](auto* s) { s->outputs.push_back(s->inputs[0]); });
}

}  // namespace
}  // namespace facet::placement
