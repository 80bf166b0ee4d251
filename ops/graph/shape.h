// Shape: the extent of a tensor along each dimension, and nothing else. Shapes
// of rank <= 6 never touch the heap, so kernels may copy them in steady state.
#ifndef FACET_OPS_GRAPH_SHAPE_H_
#define FACET_OPS_GRAPH_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace facet::ops {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(absl::Span<const int64_t> dims)
      : dims_(dims.begin(), dims.end()) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  void push_back(int64_t dim) { dims_.push_back(dim); }
  absl::Span<const int64_t> dims() const { return dims_; }

  // Product of all dims; 1 for a scalar (rank 0).
  int64_t num_elements() const;
  // Product of dims [begin, end).
  int64_t num_elements(int begin, int end) const;

  std::string ToString() const;  // "[32, 512]", a scalar is "[]".

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.dims_ == b.dims_;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  absl::InlinedVector<int64_t, 6> dims_;
};

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_SHAPE_H_
