#include "benchmarks/rows/row_result.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "ops/status_macros.h"

namespace facet::benchmarks {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kOneDevice = "one device of all cores";
constexpr const char* kPeer = "arcface_torch";

Json OrNull(double value) { return value > 0 ? Json(value) : Json(nullptr); }
Json OrNull(int64_t value) { return value > 0 ? Json(value) : Json(nullptr); }
Json OrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json BarJson(const Bar& bar) {
  return {{"ratio", OrNull(bar.ratio)},
          {"samples_per_second", OrNull(bar.samples_per_second)},
          {"peak_bytes", OrNull(bar.peak_bytes)}};
}

Json VerdictJson(Verdict verdict) {
  switch (verdict) {
    case Verdict::kMet:
      return true;
    case Verdict::kMissed:
      return false;
    case Verdict::kNoBar:
    case Verdict::kNotCompared:
      return nullptr;
  }
  return nullptr;
}

Json RowJson(const RowResult& result) {
  const Row& row = result.row;
  const bool peer = row.opponent == Opponent::kPeer;
  Json json = {
      {"name", row.name},
      {"classes", row.classes},
      {"batch_size", row.batch_size},
      {"published_batch_size", OrNull(row.published_batch_size)},
      {"precision", !result.ours.precision.empty() ? result.ours.precision
                    : row.half                     ? "half"
                                                   : "float32"},
      {"fp16", row.half},
      {"partial_fc", row.partial_fc()},
      {"sample_rate", row.sample_rate},
      {"half_state", row.half_state},
      {"samples_per_second", OrNull(result.ours.Speed())},
      {"peak_bytes", OrNull(result.ours.peak_bytes)},
      {"failure", OrNull(result.ours.failure)},
      {"out_of_memory", result.ours.out_of_memory},
      {"compared_with", peer ? kPeer : kOneDevice},
      {"peer_samples_per_second", OrNull(peer ? result.other.Speed() : 0)},
      {"ratio", OrNull(result.Ratio())},
      {"published_v100x8", OrNull(row.published_samples_per_second)},
      {"bar",
       Judge(result) == Verdict::kNoBar ? Json(nullptr) : BarJson(row.bar)},
      {"bar_met", VerdictJson(Judge(result))},
  };
  json["rounds"] = result.ours.samples_per_second;
  json["compared_peak_bytes"] = OrNull(result.other.peak_bytes);
  json["compared_failure"] = OrNull(result.other.failure);
  json["compared_out_of_memory"] = result.other.out_of_memory;
  json["compared_rounds"] = result.other.samples_per_second;
  return json;
}

// Reads the fields of one object, remembering the first that is not as it
// should be.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  template <typename T>
  void Read(const char* key, T* value) {
    const auto field = object_.find(key);
    if (field == object_.end() || !Holds(*field, value)) {
      if (status_.ok()) {
        status_ = absl::InvalidArgumentError(
            absl::StrCat("\"", key, "\" is missing or of another type"));
      }
      return;
    }
    if (!field->is_null()) *value = field->template get<T>();
  }
  const absl::Status& status() const { return status_; }

 private:
  static bool Holds(const Json& f, std::string*) {
    return f.is_string() || f.is_null();
  }
  static bool Holds(const Json& f, bool*) { return f.is_boolean(); }
  static bool Holds(const Json& f, double*) {
    return f.is_number() || f.is_null();
  }
  static bool Holds(const Json& f, int64_t*) {
    return f.is_number_integer() || f.is_null();
  }
  static bool Holds(const Json& f, int*) { return f.is_number_integer(); }
  static bool Holds(const Json& f, std::vector<double>*) {
    return f.is_array() && std::all_of(f.begin(), f.end(), [](const Json& x) {
             return x.is_number();
           });
  }

  const Json& object_;
  absl::Status status_;
};

absl::StatusOr<RowResult> ParseRow(const Json& json) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError("a row is not an object");
  }
  RowResult result;
  Reader reader(json);
  Row& row = result.row;
  std::string opponent;
  reader.Read("name", &row.name);
  reader.Read("classes", &row.classes);
  reader.Read("batch_size", &row.batch_size);
  reader.Read("published_batch_size", &row.published_batch_size);
  reader.Read("precision", &result.ours.precision);
  reader.Read("fp16", &row.half);
  reader.Read("sample_rate", &row.sample_rate);
  reader.Read("peak_bytes", &result.ours.peak_bytes);
  reader.Read("failure", &result.ours.failure);
  reader.Read("out_of_memory", &result.ours.out_of_memory);
  reader.Read("compared_with", &opponent);
  reader.Read("published_v100x8", &row.published_samples_per_second);
  reader.Read("rounds", &result.ours.samples_per_second);
  reader.Read("compared_peak_bytes", &result.other.peak_bytes);
  reader.Read("compared_failure", &result.other.failure);
  reader.Read("compared_out_of_memory", &result.other.out_of_memory);
  reader.Read("compared_rounds", &result.other.samples_per_second);
  // Files of before there was such a thing do not have it.
  if (json.contains("half_state")) reader.Read("half_state", &row.half_state);
  RETURN_IF_ERROR(reader.status());
  row.opponent =
      opponent == kOneDevice ? Opponent::kOneDevice : Opponent::kPeer;
  if (const auto bar = json.find("bar");
      bar != json.end() && bar->is_object()) {
    Reader bars(*bar);
    bars.Read("ratio", &row.bar.ratio);
    bars.Read("samples_per_second", &row.bar.samples_per_second);
    bars.Read("peak_bytes", &row.bar.peak_bytes);
    RETURN_IF_ERROR(bars.status());
  }
  return result;
}

}  // namespace

double RowResult::Ratio() const {
  return ours.ok() && other.ok() ? ours.Speed() / other.Speed() : 0;
}

Verdict Judge(const RowResult& result) {
  const Bar& bar = result.row.bar;
  if (bar.ratio == 0 && bar.samples_per_second == 0 && bar.peak_bytes == 0) {
    return Verdict::kNoBar;
  }
  if (!result.ours.ok()) return Verdict::kMissed;
  if (result.ours.Speed() < bar.samples_per_second) return Verdict::kMissed;
  if (bar.peak_bytes > 0 && result.ours.peak_bytes > bar.peak_bytes) {
    return Verdict::kMissed;
  }
  if (bar.ratio == 0) return Verdict::kMet;
  if (!result.other.ok()) return Verdict::kNotCompared;
  return result.Ratio() >= bar.ratio ? Verdict::kMet : Verdict::kMissed;
}

std::string BarText(const Bar& bar) {
  std::vector<std::string> parts;
  if (bar.ratio > 0) parts.push_back(absl::StrFormat(">= %g x", bar.ratio));
  if (bar.samples_per_second > 0) {
    parts.push_back(absl::StrFormat(">= %g/s", bar.samples_per_second));
  }
  if (bar.peak_bytes > 0) {
    parts.push_back(
        absl::StrFormat("<= %g GiB", bar.peak_bytes / double{1 << 30}));
  }
  // What must only fit must train, too.
  if (parts.size() == 1 && bar.peak_bytes > 0)
    parts.insert(parts.begin(), "trains");
  return absl::StrJoin(parts, ", ");
}

std::string ResultsJson(const RunResults& results) {
  Json rows = Json::array();
  for (const RowResult& row : results.rows) rows.push_back(RowJson(row));
  const Json json = {
      {"hardware", results.hardware}, {"cores", results.cores},
      {"peer", OrNull(results.peer)}, {"batch_scale", results.batch_scale},
      {"steps", results.steps},       {"warmup", results.warmup},
      {"rounds", results.rounds},     {"rows", std::move(rows)}};
  // What programs said on their ends may be any bytes.
  return json.dump(2, ' ', /*ensure_ascii=*/false,
                   Json::error_handler_t::replace) +
         "\n";
}

absl::StatusOr<RunResults> ParseResults(absl::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("not JSON, or not an object");
  }
  RunResults results;
  Reader reader(json);
  reader.Read("hardware", &results.hardware);
  reader.Read("cores", &results.cores);
  reader.Read("peer", &results.peer);
  reader.Read("batch_scale", &results.batch_scale);
  reader.Read("steps", &results.steps);
  reader.Read("warmup", &results.warmup);
  reader.Read("rounds", &results.rounds);
  RETURN_IF_ERROR(reader.status());
  const auto rows = json.find("rows");
  if (rows == json.end() || !rows->is_array()) {
    return absl::InvalidArgumentError("\"rows\" is missing or no list");
  }
  for (const Json& row : *rows) {
    ASSIGN_OR_RETURN(RowResult result, ParseRow(row));
    results.rows.push_back(std::move(result));
  }
  return results;
}

void SetRow(const RowResult& row, RunResults* results) {
  for (RowResult& existing : results->rows) {
    if (existing.row.name != row.row.name) continue;
    existing = row;
    return;
  }
  results->rows.push_back(row);
}

}  // namespace facet::benchmarks
