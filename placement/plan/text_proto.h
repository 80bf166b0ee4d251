// Messages in protobuf's text format, read with errors that say where.
#ifndef FACET_PLACEMENT_PLAN_TEXT_PROTO_H_
#define FACET_PLACEMENT_PLAN_TEXT_PROTO_H_

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace facet::placement {

// InvalidArgument: "line 3, column 7: ", and the parser's first complaint.
absl::Status ParseTextProto(const std::string& text,
                            google::protobuf::Message* message);

}  // namespace facet::placement

#endif  // FACET_PLACEMENT_PLAN_TEXT_PROTO_H_
