// Events: what a stream has reached.
#include <chrono>
#include <memory>
#include <mutex>

#include "cuda_runtime.h"
#include "third_party/cuda_emulation/machine.h"
#include "third_party/cuda_emulation/stream.h"

using cuda_emulation::machine;
using cuda_emulation::Return;

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  *event = nullptr;
  const cudaError_t state = cuda_emulation::State();
  if (state != cudaSuccess) return Return(state);
  *event = new CUevent_st;
  (*event)->device = cuda_emulation::current_device;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  delete event;
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr || stream == nullptr ||
      event->device != stream->device()) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  if (cuda_emulation::SpoilsCapture(stream)) {
    return Return(cudaErrorStreamCaptureUnsupported);
  }
  std::lock_guard<std::mutex> lock(machine().mutex);
  event->recording = cuda_emulation::RecordLocked(stream);
  return Return(cuda_emulation::StateLocked(machine()));
}

namespace {

std::shared_ptr<cuda_emulation::Recording> RecordingOf(cudaEvent_t event) {
  std::lock_guard<std::mutex> lock(machine().mutex);
  return event->recording;
}

}  // namespace

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  const auto recording = RecordingOf(event);
  if (recording != nullptr) {
    if (!recording->is_set()) return cudaErrorNotReady;
    cuda_emulation::host_clock.Join(recording->clock());
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return Return(cudaErrorInvalidResourceHandle);
  const auto recording = RecordingOf(event);
  if (recording != nullptr) {
    recording->Wait();
    cuda_emulation::host_clock.Join(recording->clock());
  }
  return Return(cuda_emulation::State());
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start,
                                 cudaEvent_t end) {
  const auto first = RecordingOf(start);
  const auto last = RecordingOf(end);
  if (first == nullptr || last == nullptr || !start->timing || !end->timing) {
    return Return(cudaErrorInvalidResourceHandle);
  }
  if (!first->is_set() || !last->is_set()) return Return(cudaErrorNotReady);
  *milliseconds =
      std::chrono::duration<float, std::milli>(last->time() - first->time())
          .count();
  return Return(cuda_emulation::State());
}
