// Tests of vector code on every instruction set, not only the one that this
// CPU would take.
#ifndef FACET_OPS_TESTING_INSTRUCTION_SETS_H_
#define FACET_OPS_TESTING_INSTRUCTION_SETS_H_

#include <cstdint>

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace facet::ops {

// Calls body(name) for each instruction set that the code is compiled for and
// this CPU has, while Highway's dispatch takes just that. From one thread.
template <typename Body>
void ForEachInstructionSet(const Body& body) {
  for (int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0;
       rest &= rest - 1) {
    const int64_t target = rest & -rest;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();  // Chosen again by the next call.
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace facet::ops

#endif  // FACET_OPS_TESTING_INSTRUCTION_SETS_H_
