// gather_rows_lazily: ops/sgd_update_rows/sgd_update_rows_test.cc.
#include <algorithm>

#include "gtest/gtest.h"
#include "ops/gradient.h"
#include "ops/graph/shard.h"
#include "ops/graph_builder.h"
#include "ops/op_table.h"
#include "ops/testing/given_op.h"
#include "ops/testing/op_test.h"

namespace facet::ops {
namespace {

// Calls body(entry, row) for the entries that are not padding.
template <typename Body>
void ForListed(const TensorType& rows_type, const Values& rows, int64_t c,
               const Body& body) {
  const int64_t groups = rows_type.shape[0], capacity = rows_type.shape[1];
  for (int64_t i = 0; i < groups * capacity; ++i) {
    if (rows[i] < 0) continue;
    body(i, ShardRange(c, groups, i / capacity).begin +
                static_cast<int64_t>(rows[i]));
  }
}

OpCase Case(int64_t c, int64_t d, int64_t groups, int64_t capacity) {
  OpCase op_case;
  op_case.op = "gather_rows";
  op_case.inputs = {{DataType::kFloat32, {c, d}},
                    {DataType::kInt32, {groups, capacity}}};
  op_case.domains = {{}, {0, static_cast<double>(c / groups), true}};
  return op_case;
}

TEST(GatherRowsTest, MatchesReference) {
  const Reference reference = [](const Attributes&,
                                 const std::vector<TensorType>& types,
                                 const std::vector<Values>& inputs) {
    const int64_t d = types[0].shape[1];
    Values y(types[1].shape.num_elements() * d, 0);
    ForListed(types[1], inputs[1], types[0].shape[0],
              [&](int64_t entry, int64_t row) {
                std::copy_n(inputs[0].begin() + row * d, d,
                            y.begin() + entry * d);
              });
    return std::vector<Values>{y};
  };
  ExpectMatchesReference(Case(5, 3, 2, 2), reference);
  ExpectMatchesReference(Case(1000, 512, 3, 200), reference);
  ExpectMatchesReference(Case(7, 1, 1, 7), reference);
  // Larger than caches.
  ExpectMatchesReference(Case(9000, 1024, 1, 8500), reference);
}

TEST(GatherRowsTest, TheGradientIsOfTheListedRows) {
  Graph graph;
  GraphBuilder builder(&graph, FindOpOrGiven);
  const TensorId weight =
      AddGiven(&builder, "weight", {DataType::kFloat32, {5, 3}});
  const TensorId rows = AddGiven(&builder, "rows", {DataType::kInt32, {2, 2}});
  const TensorId y = builder.Add1("gather_rows", "y", {weight, rows});
  ASSERT_TRUE(builder.status().ok()) << builder.status();
  const TensorId dy = AddGiven(&builder, "dy", builder.type(y));
  GradientContext context(&builder, graph.tensors[y].producer, {dy});
  ASSERT_TRUE(FindOp("gather_rows")->gradient(&context).ok());
  const GradientContext::RowGradient* gradient = context.input_row_gradient(0);
  ASSERT_NE(gradient, nullptr);
  EXPECT_EQ(gradient->rows, rows);
  EXPECT_EQ(gradient->gradient, dy);
  EXPECT_EQ(context.input_gradient(1), kNone);
  EXPECT_NE(FindOp(gradient->lazy_op), nullptr);
}

}  // namespace
}  // namespace facet::ops
