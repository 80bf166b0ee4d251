// InSequence: the kernel of an op that joins two (JoinRule), as theirs one
// after the other: what any device can do.
#ifndef FACET_OPS_IN_SEQUENCE_H_
#define FACET_OPS_IN_SEQUENCE_H_

#include "ops/kernel.h"

namespace facet::ops {

// The first one takes the first `first_inputs` inputs. They share the
// workspace. What is between them is the first output, whether it is kept, or
// the second works in place on it.
KernelDef InSequence(KernelDef first, KernelDef second, int first_inputs,
                     bool keeps_between);

}  // namespace facet::ops

#endif  // FACET_OPS_IN_SEQUENCE_H_
