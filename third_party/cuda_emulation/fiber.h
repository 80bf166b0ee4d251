// Fiber: a function with a stack of its own, which runs when it is resumed and
// gives control back where it likes. ucontext makes the stack and enters it;
// later switches are the compiler's setjmp and longjmp, which make no system
// calls. Told to the sanitizers.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace cuda_emulation {

// Resumed by one thread only, the one that made it.
class Fiber {
 public:
  // `main` must never return: a fiber ends by being destroyed while suspended.
  explicit Fiber(std::function<void()> main);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs it until it calls Suspend.
  void Resume();
  // Only from the fiber itself: returns when it is resumed.
  void Suspend();

 private:
  static void Enter();

  std::function<void()> main_;
  void* stack_ = nullptr;
  ucontext_t context_;
  bool entered_ = false;
  void* fiber_[5] = {};  // Where each goes on.
  void* resumer_[5] = {};
  // For the sanitizers.
  void* tsan_fiber_ = nullptr;
  void* tsan_resumer_ = nullptr;
  void* asan_fake_stack_ = nullptr;
  void* asan_resumer_fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
};

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_
