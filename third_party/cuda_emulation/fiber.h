// Fiber: a function with a stack of its own, which runs when it is resumed and
// gives control back where it likes. ucontext makes the stack and enters it;
// later switches are the compiler's setjmp and longjmp, which make no system
// calls. Address sanitizer is told of them. To thread sanitizer they are calls
// of the thread that resumes, which orders all that fibers do, as a switch
// that it knows would. (With those every switch takes as long as there are
// fibers.) Its stack of calls must be as high when a fiber stops for another
// thread to go on with as it was before: --config=tsan compiles the functions
// that a fiber is in at that time, fiber.cc and grid.cc, without it.
#ifndef FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_
#define FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace cuda_emulation {

// Resumed by one thread at a time.
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
  void* asan_fake_stack_ = nullptr;
  void* asan_resumer_fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
};

}  // namespace cuda_emulation

#endif  // FACET_THIRD_PARTY_CUDA_EMULATION_FIBER_H_
