#include "benchmarks/evaluation.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "models/train_graph.h"
#include "ops/data_source.h"
#include "ops/half.h"
#include "ops/op_table.h"
#include "ops/status_macros.h"
#include "placement/compile.h"
#include "runtime/data/photograph.h"

namespace facet::benchmarks {
namespace {

// Each photograph and then its mirror image, in order; behind the last one,
// the last again, to fill the batch.
class MirroredSource : public ops::DataSource {
 public:
  MirroredSource(const std::vector<runtime::Photograph>& photographs,
                 int64_t batch_size)
      : photographs_(photographs), batch_size_(batch_size) {}

  absl::Status Read(int64_t step, int64_t begin, int64_t end, float* images,
                    int32_t* labels) override {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = step * batch_size_ + i;
      const auto last = static_cast<int64_t>(photographs_.size()) - 1;
      const runtime::Photograph& photograph =
          photographs_[std::min(position / 2, last)];
      RETURN_IF_ERROR(runtime::LoadPhotograph(
          photograph.path, {.flip = position % 2 == 1}, images));
      images += runtime::kPhotographPixels;
      *labels++ = photograph.person;
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<runtime::Photograph>& photographs_;
  const int64_t batch_size_;
};

// Puts the devices' shares of "embedding" of all steps together.
class EmbeddingSink : public ops::FetchSink {
 public:
  EmbeddingSink(int64_t rows, int64_t dimension)
      : dimension_(dimension), values_(rows * dimension) {}

  absl::Status OnFetch(int64_t step, absl::string_view, int,
                       const ops::TensorView& value) override {
    std::lock_guard<std::mutex> lock(mutex_);
    // A share of the rows or of the columns, as the compiler liked it.
    const ops::TensorSlice& slice = value.slice;
    CHECK_EQ(slice.global_shape[1], dimension_);
    const int64_t columns = slice.shape[1];
    for (int64_t r = 0; r < slice.shape[0]; ++r) {
      const int64_t row = step * slice.global_shape[0] + slice.offset[0] + r;
      std::copy_n(value.as<float>() + r * columns, columns,
                  &values_[row * dimension_ + slice.offset[1]]);
    }
    return absl::OkStatus();
  }

  const std::vector<float>& values() const { return values_; }

 private:
  std::mutex mutex_;
  const int64_t dimension_;
  std::vector<float> values_;
};

// Copies the weights by name. Running statistics have one row per group of
// the training batch; inference takes the first, as the peers save rank 0's.
absl::Status CopyWeights(runtime::Session& from, runtime::Session& to) {
  for (const std::string& name : to.VariableNames()) {
    ASSIGN_OR_RETURN(const runtime::HostTensor target, to.ReadVariable(name));
    ASSIGN_OR_RETURN(runtime::HostTensor value, from.ReadVariable(name));
    if (value.shape != target.shape && value.shape.rank() == 2 &&
        target.shape.rank() == 2 && target.shape[0] == 1 &&
        value.shape[1] == target.shape[1]) {
      value.shape = target.shape;
      value.data.resize(target.data.size());
    }
    RETURN_IF_ERROR(to.WriteVariable(name, value));
  }
  return absl::OkStatus();
}

float Dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return static_cast<float>(sum);
}

// Of a floating tensor of any type.
std::vector<float> Floats(const runtime::HostTensor& tensor) {
  return ops::VisitFloating(tensor.dtype, [&](auto zero) {
    const auto* values = tensor.as<decltype(zero)>();
    return std::vector<float>(values, values + tensor.shape.num_elements());
  });
}

}  // namespace

absl::StatusOr<Embeddings> Embed(
    const std::string& network, int64_t embedding,
    const std::vector<runtime::Photograph>& photographs,
    const LocalDevices& local, runtime::Session& trained) {
  const int count = static_cast<int>(local.devices.size());
  models::EmbedConfig config;
  config.network = network;
  config.embedding = embedding;
  config.batch_size = std::max<int64_t>(16, 2 * count);
  ASSIGN_OR_RETURN(const ops::Graph graph,
                   models::BuildEmbedGraph(config, ops::FindOp));
  ASSIGN_OR_RETURN(const placement::Plan plan,
                   placement::Compile(graph, local.cluster, {}));
  const int64_t images = 2 * static_cast<int64_t>(photographs.size());
  const int64_t steps = (images + config.batch_size - 1) / config.batch_size;
  MirroredSource source(photographs, config.batch_size);
  EmbeddingSink sink(steps * config.batch_size, embedding);
  runtime::SessionOptions options;
  options.data_source = &source;
  options.fetch_sink = &sink;
  ASSIGN_OR_RETURN(std::unique_ptr<runtime::Session> session,
                   runtime::Session::Create(plan, local.devices, options));
  RETURN_IF_ERROR(CopyWeights(trained, *session));
  RETURN_IF_ERROR(session->Run(steps));

  Embeddings result;
  result.dimension = embedding;
  result.values.resize(photographs.size() * embedding);
  for (size_t i = 0; i < photographs.size(); ++i) {
    const float* plain = &sink.values()[2 * i * embedding];
    const float* mirrored = plain + embedding;
    float* row = &result.values[i * embedding];
    for (int64_t d = 0; d < embedding; ++d) row[d] = plain[d] + mirrored[d];
    const float norm = std::sqrt(Dot(row, row, embedding));
    for (int64_t d = 0; d < embedding; ++d) row[d] /= std::max(norm, 1e-12f);
  }
  return result;
}

double Rank1Accuracy(const Embeddings& embeddings,
                     const std::vector<runtime::Photograph>& photographs,
                     const runtime::HostTensor& centres, int64_t people) {
  const int64_t dimension = embeddings.dimension;
  const std::vector<float> values = Floats(centres);
  const float* rows = values.data();
  std::vector<float> inverse_norms(people);
  for (int64_t c = 0; c < people; ++c) {
    const float* row = rows + c * dimension;
    inverse_norms[c] =
        1 / std::max(std::sqrt(Dot(row, row, dimension)), 1e-12f);
  }
  int64_t right = 0;
  for (int64_t i = 0; i < embeddings.count(); ++i) {
    int64_t best = 0;
    float best_cosine = -2;
    for (int64_t c = 0; c < people; ++c) {
      const float cosine =
          Dot(embeddings.row(i), rows + c * dimension, dimension) *
          inverse_norms[c];
      if (cosine > best_cosine) best = c, best_cosine = cosine;
    }
    right += best == photographs[i].person ? 1 : 0;
  }
  return static_cast<double>(right) / embeddings.count();
}

Verification VerifyAllPairs(
    const Embeddings& embeddings,
    const std::vector<runtime::Photograph>& photographs) {
  struct Pair {
    float cosine;
    bool same;
  };
  std::vector<Pair> pairs;
  Verification result;
  for (int64_t i = 0; i < embeddings.count(); ++i) {
    for (int64_t j = i + 1; j < embeddings.count(); ++j) {
      const bool same = photographs[i].person == photographs[j].person;
      (same ? result.same_pairs : result.other_pairs) += 1;
      pairs.push_back(
          {Dot(embeddings.row(i), embeddings.row(j), embeddings.dimension),
           same});
    }
  }
  CHECK_GT(result.same_pairs, 0);
  CHECK_GT(result.other_pairs, 0);
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& a, const Pair& b) { return a.cosine > b.cosine; });
  // With the threshold below pair i, pairs 0 ... i are taken for the same.
  int64_t same_above = 0, other_above = 0;
  result.accuracy = static_cast<double>(result.other_pairs) / pairs.size();
  for (size_t i = 0; i < pairs.size(); ++i) {
    (pairs[i].same ? same_above : other_above) += 1;
    if (i + 1 < pairs.size() && pairs[i + 1].cosine == pairs[i].cosine) {
      continue;
    }
    const double same_right =
        static_cast<double>(same_above) / result.same_pairs;
    const double other_right =
        1 - static_cast<double>(other_above) / result.other_pairs;
    if ((same_right + other_right) / 2 > result.balanced_accuracy) {
      result.balanced_accuracy = (same_right + other_right) / 2;
      result.threshold = pairs[i].cosine;
    }
    const int64_t right = same_above + result.other_pairs - other_above;
    result.accuracy =
        std::max(result.accuracy, static_cast<double>(right) / pairs.size());
  }
  return result;
}

}  // namespace facet::benchmarks
