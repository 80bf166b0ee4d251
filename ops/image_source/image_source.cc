// image_source: the training images and their labels, from the caller's
// DataSource.
#include "absl/strings/str_cat.h"
#include "ops/op_def.h"

namespace facet::ops {
namespace {

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const int64_t batch_size = call.attributes.Int("batch_size");
  if (batch_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute \"batch_size\" is ", batch_size, "; it must be at least 1"));
  }
  outputs->push_back({DataType::kFloat32, {batch_size, 3, 112, 112}});
  outputs->push_back({DataType::kInt32, {batch_size}});
  return absl::OkStatus();
}

}  // namespace

OpDef ImageSourceDef() {
  OpDef def;
  def.name = "image_source";
  def.summary = "a batch of normalised images [N, 3, 112, 112] and labels [N]";
  def.attributes = {
      {"batch_size", int64_t{0}, true, "images of all devices together"},
  };
  def.outputs = {"images", "labels"};
  def.infer = Infer;
  def.signatures = [](const OpCall&, int) {
    return std::vector<Signature>{Uniform(0, 2, Sbp::B()),
                                  Uniform(0, 2, Sbp::S(0))};
  };
  def.stream = StreamKind::kData;
  def.examples = {{{{"batch_size", int64_t{5}}}, {}, {}}};
  return def;
}

}  // namespace facet::ops
