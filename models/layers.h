// LayerBuilder: variables and layers by the names they have in a PyTorch state
// dict ("layer1.0.bn1.weight"), so that weights can be compared and loaded.
#ifndef FACET_MODELS_LAYERS_H_
#define FACET_MODELS_LAYERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ops/graph_builder.h"

namespace facet::models {

// FNV-1a, 32 bits. The key of a variable's random numbers: by name, not by a
// counter, so that a layer starts with the same weights whatever else is in
// the model.
uint32_t NameKey(absl::string_view name);

// What a variable holds at first.
struct Initial {
  const char* kind;       // The variable's attribute init ...
  const char* attribute;  // ... and the one that has its parameter.
  double parameter;

  static Initial Constant(double value) { return {"constant", "value", value}; }
  // N(0, stddev^2).
  static Initial Normal(double stddev) { return {"normal", "stddev", stddev}; }
  // U(-bound, bound).
  static Initial Uniform(double bound) { return {"uniform", "bound", bound}; }
};

// How a trained variable and the optimizer's momentum for it are stored:
// float32 or bfloat16. Whatever they are, steps are computed in float32.
struct Storage {
  ops::DataType weight = ops::DataType::kFloat32;
  ops::DataType momentum = ops::DataType::kFloat32;
};

// Who changes a variable.
enum class Role {
  kTrained,     // The optimizer; its gradient is clipped with all others.
  kTrainedOwn,  // The optimizer; left out of clipping.
  kFrozen,      // A parameter that nobody changes.
  kStatistic,   // Not a parameter: a batch_norm_update.
};

struct BatchNormOptions {
  bool training = true;  // Statistics of the batch; else the running ones.
  int64_t groups = 1;    // In training: parts of the batch with their own.
  bool frozen_scale = false;
};

// Adds to a graph through a GraphBuilder, whose status has the first error
// (then kNone comes back, and goes in again without harm).
class LayerBuilder {
 public:
  // `part`: of the origin of all nodes. `builder` must outlive this.
  LayerBuilder(std::string part, ops::GraphBuilder* builder);

  // From now on, nodes stay in float32 in a mixed-precision run, or may not.
  void set_keep_float32(bool keep) { keep_float32_ = keep; }

  // A node of the layer `layer`; its first output.
  ops::TensorId Add(absl::string_view layer, absl::string_view op,
                    absl::string_view name,
                    absl::Span<const ops::TensorId> inputs,
                    ops::Attributes attributes = {});

  ops::TensorId Variable(absl::string_view layer, absl::string_view name,
                         std::vector<int64_t> shape, Initial initial, Role role,
                         const Storage& storage = {});

  // All below: variables "<layer>.weight" and so on, the result "<layer>".
  // Square kernel without bias, weights N(0, 0.1^2).
  ops::TensorId Conv(absl::string_view layer, ops::TensorId x,
                     int64_t out_channels, int64_t kernel, int64_t stride,
                     int64_t padding);
  // x [N, C, ...].
  ops::TensorId BatchNorm(absl::string_view layer, ops::TensorId x,
                          const BatchNormOptions& options);
  // One slope per channel, 0.25 at first.
  ops::TensorId Prelu(absl::string_view layer, ops::TensorId x);
  // [N, I] to [N, O], with bias; both U(-1/sqrt(I), 1/sqrt(I)) at first, as
  // PyTorch's.
  ops::TensorId Linear(absl::string_view layer, ops::TensorId x,
                       int64_t out_features);

  // Elements of the variables that are parameters, frozen ones included: what
  // PyTorch's parameters() counts.
  int64_t parameters() const { return parameters_; }

 private:
  // The shape of x; ones of the rank that is asked for after an error.
  ops::Shape ShapeOf(ops::TensorId x, int rank) const;

  const std::string part_;
  ops::GraphBuilder* const builder_;
  bool keep_float32_ = false;
  int64_t parameters_ = 0;
};

}  // namespace facet::models

#endif  // FACET_MODELS_LAYERS_H_
