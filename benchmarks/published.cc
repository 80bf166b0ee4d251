#include "benchmarks/published.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace facet::benchmarks {

const std::vector<PublishedRow>& PublishedRows() {
  static const auto& rows = *new std::vector<PublishedRow>{
      {2'000'000, 512, false, false, 1868},
      {2'000'000, 512, false, true, 2712},
      {2'000'000, 512, true, false, 2576},
      {2'000'000, 512, true, true, 4501},
      {2'000'000, 1024, false, false, 1960},
      {2'000'000, 1024, false, true, 2922},
      {2'000'000, 1024, true, false, 2810},
      {2'000'000, 1024, true, true, 5430},
      {2'000'000, 2048, true, true, 6095},
      {618'000, 512, false, false, 2430},
      {618'000, 512, true, false, 3889},
      {618'000, 1024, false, false, 2607},
      {618'000, 1024, true, false, 4322},
      {618'000, 2048, true, false, 4921},
  };
  return rows;
}

std::string PublishedFigures(const std::string& network, int64_t classes,
                             bool half) {
  std::vector<std::string> figures;
  if (network != "r50") return "";
  for (const PublishedRow& row : PublishedRows()) {
    if (row.classes != classes || row.half != half || row.partial_fc) continue;
    figures.push_back(
        absl::StrCat(row.samples_per_second, " (batch ", row.batch_size, ")"));
  }
  return absl::StrJoin(figures, ", ");
}

}  // namespace facet::benchmarks
