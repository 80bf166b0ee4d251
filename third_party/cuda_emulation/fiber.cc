#include "third_party/cuda_emulation/fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#ifdef __SANITIZE_THREAD__
#error "thread sanitizer must not see fibers: compile with --config=tsan"
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_emulation {
namespace {

// Pages that are not touched cost nothing; sanitizers want large frames.
constexpr size_t kStackBytes = 256 * 1024;
constexpr size_t kGuardBytes = 4096;

thread_local Fiber* entering = nullptr;

// Before a call that does not return, address sanitizer has the code forget
// where the frames of the stack lie, by a system call. A switch leaves no
// frame.
#define UNSEEN_BY_ASAN __attribute__((no_sanitize_address))

// Not within the function that called __builtin_setjmp.
[[noreturn]] __attribute__((noinline)) UNSEEN_BY_ASAN void Jump(void** to) {
  __builtin_longjmp(to, 1);
}

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

Fiber::Fiber(std::function<void()> main) : main_(std::move(main)) {
  stack_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack_ == MAP_FAILED) Die("mmap of a fiber's stack");
  if (mprotect(stack_, kGuardBytes, PROT_NONE) != 0) Die("mprotect");
  if (getcontext(&context_) != 0) Die("getcontext");
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::Enter, 0);
}

Fiber::~Fiber() {
#ifdef __SANITIZE_ADDRESS__
  // What comes to lie here next has other frames.
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  munmap(stack_, kStackBytes);
}

void Fiber::Enter() {
  Fiber* self = entering;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &self->resumer_stack_,
                                  &self->resumer_stack_bytes_);
#endif
  self->main_();
  Die("a fiber's function returned");
}

UNSEEN_BY_ASAN void Fiber::Resume() {
  entering = this;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&asan_resumer_fake_stack_, stack_,
                                 kStackBytes);
#endif
  if (__builtin_setjmp(resumer_) == 0) {
    if (entered_) Jump(fiber_);
    entered_ = true;
    setcontext(&context_);
    Die("setcontext");
  }
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(asan_resumer_fake_stack_, nullptr, nullptr);
#endif
}

UNSEEN_BY_ASAN void Fiber::Suspend() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&asan_fake_stack_, resumer_stack_,
                                 resumer_stack_bytes_);
#endif
  if (__builtin_setjmp(fiber_) == 0) Jump(resumer_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(asan_fake_stack_, &resumer_stack_,
                                  &resumer_stack_bytes_);
#endif
}

}  // namespace cuda_emulation
