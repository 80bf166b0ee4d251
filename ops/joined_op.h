// JoinedOp: the definition of an op that does in one what two ops do one after
// the other, made of theirs.
#ifndef FACET_OPS_JOINED_OP_H_
#define FACET_OPS_JOINED_OP_H_

#include <string>

#include "ops/op_def.h"

namespace facet::ops {

// All but examples and gradient: it is what placement makes of two tasks when
// gradients are there already. Signatures are those of the first and the second
// that need no communication between them; the cost is that of both, less what
// is between them where it need not be read or written. Precision and layouts
// are the first one's.
OpDef JoinedOp(std::string name, std::string summary, OpDef first, OpDef second,
               bool keeps_between);

}  // namespace facet::ops

#endif  // FACET_OPS_JOINED_OP_H_
