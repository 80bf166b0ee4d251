// What arcface_torch's authors published for 8 x V100-SXM2-32GB (CUDA 10.2,
// PyTorch 1.9, synthetic data, IResNet-50, embedding 512):
// github.com/deepinsight/insightface,
// recognition/arcface_torch/docs/speed_benchmark.md.
#ifndef FACET_BENCHMARKS_PUBLISHED_H_
#define FACET_BENCHMARKS_PUBLISHED_H_

#include <cstdint>
#include <string>
#include <vector>

namespace facet::benchmarks {

struct PublishedRow {
  int64_t classes = 0;
  int64_t batch_size = 0;  // Global.
  bool half = false;
  bool partial_fc = false;
  double samples_per_second = 0;
};

const std::vector<PublishedRow>& PublishedRows();

// "1868 (batch 512), 1960 (batch 1024)": the rows without Partial FC of this
// network, number of classes and precision; empty if none was published.
std::string PublishedFigures(const std::string& network, int64_t classes,
                             bool half);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_PUBLISHED_H_
