// FACET_HOST_DEVICE marks functions that CUDA kernels may call, too: the
// formulas that both backends share.
#ifndef FACET_OPS_HOST_DEVICE_H_
#define FACET_OPS_HOST_DEVICE_H_

#ifdef __CUDACC__
#define FACET_HOST_DEVICE __host__ __device__
#else
#define FACET_HOST_DEVICE
#endif

#endif  // FACET_OPS_HOST_DEVICE_H_
