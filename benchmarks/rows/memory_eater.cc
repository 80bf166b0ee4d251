// For measure_test: touches so many MiB and ends well.

#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  const size_t bytes = argc > 1 ? std::strtoull(argv[1], nullptr, 10) << 20 : 0;
  const std::vector<char> memory(bytes, 1);
  std::printf("%zu\n", memory.size());
}
