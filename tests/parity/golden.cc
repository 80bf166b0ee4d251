#include "tests/parity/golden.h"

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace facet::tests {
namespace {

// False if the line is malformed.
bool ReadLine(std::istringstream& line, Golden* golden) {
  std::string key;
  line >> key;
  if (key == "network") return bool(line >> golden->network);
  if (key == "batch") return bool(line >> golden->batch);
  if (key == "classes") return bool(line >> golden->classes);
  if (key == "embedding_size") return bool(line >> golden->embedding_size);
  if (key == "margin") {
    double* margin = golden->margin;
    return bool(line >> margin[0] >> margin[1] >> margin[2]);
  }
  if (key == "clear_of_kinks") return bool(line >> golden->clear_of_kinks);
  if (key == "sgd_rate_momentum_decay_clip") {
    return bool(line >> golden->rate >> golden->momentum >> golden->decay >>
                golden->clip);
  }
  if (key == "loss") {
    size_t step = 0;
    double value = 0;
    if (!(line >> step >> value) || step != golden->losses.size()) return false;
    golden->losses.push_back(value);
    return true;
  }
  if (key != "tensor") return false;
  std::string kind, name;
  GoldenTensor tensor;
  if (!(line >> kind >> name >> tensor.size >> tensor.norm)) return false;
  int64_t index = 0;
  double value = 0;
  while (line >> index) {
    if (index < 0 || index >= tensor.size || !(line >> value)) return false;
    tensor.elements.emplace_back(index, value);
  }
  return line.eof() && !tensor.elements.empty() &&
         golden->tensors[kind].emplace(name, std::move(tensor)).second;
}

}  // namespace

absl::StatusOr<Golden> ReadGolden(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  Golden golden;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    if (text.empty() || text[0] == '#') continue;
    std::istringstream line(text);
    if (!ReadLine(line, &golden)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":", number, ": not understood: ", text.substr(0, 60)));
    }
  }
  return golden;
}

}  // namespace facet::tests
