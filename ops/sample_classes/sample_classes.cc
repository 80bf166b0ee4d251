// sample_classes: the classes that take part in a step, as a row list
// (ops/row_list.h) of the class weights, and where the labels are in it.
// Formula: sampling.h.
#include <limits>

#include "absl/strings/str_cat.h"
#include "ops/expect_type.h"
#include "ops/op_def.h"
#include "ops/status_macros.h"

namespace facet::ops {
namespace {

absl::Status CheckRange(const Attributes& attributes, const char* name,
                        int64_t least, int64_t most) {
  const int64_t value = attributes.Int(name);
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("attribute \"", name, "\" is ",
                                                 value, "; it must be from ",
                                                 least, " to ", most));
}

absl::Status Infer(const OpCall& call, std::vector<TensorType>* outputs) {
  const TensorType& labels = call.inputs[0];
  RETURN_IF_ERROR(ExpectType("labels", labels, DataType::kInt32, 1, "[N]"));
  const Attributes& attributes = call.attributes;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  RETURN_IF_ERROR(CheckRange(attributes, "classes", 1, kMost));
  const int64_t classes = attributes.Int("classes");
  RETURN_IF_ERROR(CheckRange(attributes, "groups", 1, classes));
  const int64_t groups = attributes.Int("groups");
  const int64_t largest = (classes + groups - 1) / groups;
  RETURN_IF_ERROR(CheckRange(attributes, "capacity", 1, largest));
  RETURN_IF_ERROR(CheckRange(attributes, "key", 0, 0xFFFFFFFFll));
  const double rate = attributes.Float("rate");
  if (!(rate >= 0 && rate < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute \"rate\" is ", rate, "; it must be in [0, 1)"));
  }
  outputs->push_back({DataType::kInt32, {groups, attributes.Int("capacity")}});
  outputs->push_back(labels);
  return absl::OkStatus();
}

OpExample Example(int64_t batch, int64_t classes, int64_t groups,
                  int64_t capacity, double rate) {
  OpExample example;
  example.attributes = {{"classes", classes},
                        {"groups", groups},
                        {"capacity", capacity},
                        {"rate", rate},
                        {"key", int64_t{5}}};
  example.inputs = {{DataType::kInt32, {batch}}};
  example.domains = {{0, static_cast<double>(classes)}};
  return example;
}

}  // namespace

OpDef SampleClassesDef() {
  OpDef def;
  def.name = "sample_classes";
  def.summary = "the classes of the labels, and others at random";
  def.attributes = {
      {"classes", int64_t{0}, true, "number of classes, C"},
      {"groups", int64_t{1}, false, "parts of the classes, G"},
      {"capacity", int64_t{0}, true,
       "room for the sampled classes of a group, K; more are an error"},
      {"rate", 0.0, true, "part of the other classes that is sampled, [0, 1)"},
      {"key", int64_t{0}, false, "tells its random numbers from others'"}};
  def.inputs = {"labels"};
  def.outputs = {"rows", "positions"};
  def.infer = Infer;
  // A device knows the positions of its own classes alone.
  def.signatures = [](const OpCall& call, int k) {
    std::vector<Signature> signatures = {Uniform(1, 2, Sbp::B())};
    if (call.attributes.Int("groups") == k) {
      signatures.push_back({{Sbp::B()}, {Sbp::S(0), Sbp::PSum()}});
    }
    return signatures;
  };
  // A random word takes as long as some 100 floating-point operations (they
  // are integers', with no fused ones); the scan stays in cache.
  def.cost = [](const OpCall& local) {
    const TensorType& rows = local.outputs[0];
    const double share = static_cast<double>(rows.shape[0]) /
                         static_cast<double>(local.attributes.Int("groups"));
    Cost cost;
    cost.flops =
        100 * share * static_cast<double>(local.attributes.Int("classes"));
    cost.bytes = static_cast<double>(rows.size_bytes());
    return cost;
  };
  def.examples = {Example(7, 13, 2, 7, 0.3), Example(6, 101, 3, 34, 0.5),
                  Example(5, 9000, 4, 1000, 0.2), Example(9, 12, 1, 9, 0)};
  return def;
}

}  // namespace facet::ops
