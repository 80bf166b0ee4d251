// PlanMutator: plans with something wrong, for tests of what reads plans.
#ifndef FACET_PLACEMENT_PLAN_MUTATE_PLAN_H_
#define FACET_PLACEMENT_PLAN_MUTATE_PLAN_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/message.h"
#include "placement/plan/plan.pb.h"

namespace facet::placement {

// Reproducible: the same seed and calls give the same plans.
class PlanMutator {
 public:
  // Texts are drawn from those in `example`, so that names are often known.
  PlanMutator(const Plan& example, uint64_t seed);

  // One mutation of a kind that is likely to be a plan all the same: a size, an
  // offset, a shape, an attribute, an op's name, an edge, a number of credits
  // or a device. Returns what was changed: "edge: task 3 y".
  std::string MutateField(Plan* plan);

  // Changes one field somewhere in the message, of any kind, to anything.
  void MutateAnything(google::protobuf::Message* message);

  // Flips one to four bits.
  void FlipBits(std::string* bytes);

 private:
  // Below `count`, which must be above 0.
  int Pick(int count) { return static_cast<int>(random_() % count); }
  int64_t Number();
  // Near `value`, or anything.
  int64_t NumberNear(int64_t value);
  const std::string& Text() { return texts_[Pick(texts_.size())]; }
  void CollectTexts(const google::protobuf::Message& message);
  std::string MutateRegister(Plan* plan);
  std::string MutateTask(Plan* plan);
  std::string MutateAttribute(Plan* plan);
  // index: of a repeated field; its size: append. -1: singular.
  void Set(google::protobuf::Message* message,
           const google::protobuf::FieldDescriptor* field, int index);

  std::vector<std::string> texts_;  // Sorted, each once.
  std::mt19937_64 random_;
};

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_MUTATE_PLAN_H_
