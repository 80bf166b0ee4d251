// NdSbp: how one tensor lies across a mesh: an Sbp per axis, outermost first. A
// split along an axis divides the share that the axes before it leave; P along
// an axis is the sum (or maximum) of what the axes behind it make. On a mesh of
// one axis it is that axis's Sbp.
#ifndef FACET_OPS_GRAPH_ND_SBP_H_
#define FACET_OPS_GRAPH_ND_SBP_H_

#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ops/graph/mesh.h"
#include "ops/graph/sbp.h"
#include "ops/graph/shape.h"
#include "ops/graph/shard.h"

namespace facet::ops {

class NdSbp {
 public:
  NdSbp() = default;
  // Of a mesh of one axis: implicit, for there the two are the same.
  NdSbp(Sbp sbp) : axes_({sbp}) {}  // NOLINT(google-explicit-constructor)
  NdSbp(std::initializer_list<Sbp> axes) : axes_(axes) {}
  // The same along every axis.
  static NdSbp Uniform(int num_axes, Sbp sbp) {
    NdSbp all;
    all.axes_.assign(num_axes, sbp);
    return all;
  }

  int num_axes() const { return static_cast<int>(axes_.size()); }
  Sbp& operator[](int axis) { return axes_[axis]; }
  const Sbp& operator[](int axis) const { return axes_[axis]; }
  void push_back(Sbp sbp) { axes_.push_back(sbp); }
  auto begin() const { return axes_.begin(); }
  auto end() const { return axes_.end(); }

  // Along any axis.
  bool any_split() const;
  bool any_partial() const;
  // P(sum) along one axis and P(max) along another.
  bool mixes_partials() const;

  std::string ToString() const;  // "S(0)"; "S(0),B" on a mesh of two axes.

  friend bool operator==(const NdSbp& a, const NdSbp& b) {
    return a.axes_ == b.axes_;
  }
  friend bool operator!=(const NdSbp& a, const NdSbp& b) { return !(a == b); }
  friend bool operator<(const NdSbp& a, const NdSbp& b) {
    return a.axes_ < b.axes_;
  }

 private:
  absl::InlinedVector<Sbp, 4> axes_;
};

// The inverse of ToString (spaces after a comma are allowed); InvalidArgument
// names the value and the choices.
absl::StatusOr<NdSbp> ParseNdSbp(absl::string_view text);

// What device `device` of the mesh holds of a tensor of this logical shape.
// The SBP has as many axes as the mesh.
Region LocalRegion(const Shape& shape, const NdSbp& sbp, const Mesh& mesh,
                   int device);

// True if no split leaves a device without an element.
bool IsShardable(const Shape& shape, const NdSbp& sbp, const Mesh& mesh);

}  // namespace facet::ops

#endif  // FACET_OPS_GRAPH_ND_SBP_H_
