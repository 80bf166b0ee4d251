// The file in which measured times of kernels are kept from run to run: a
// message KernelTimes (kernel_times.proto) in text format.
#ifndef FACET_BENCHMARKS_TUNING_KERNEL_TIME_FILE_H_
#define FACET_BENCHMARKS_TUNING_KERNEL_TIME_FILE_H_

#include <map>
#include <string>

#include "absl/status/status.h"

namespace facet::benchmarks {

// Infinity: this machine will never run it.
using SecondsByKernel = std::map<std::string, double>;

// ${XDG_CACHE_HOME:-$HOME/.cache}/facet/kernel_times-<hash of machine>.txtpb:
// machines that share a home do not share a file. Empty: the environment names
// no absolute folder.
std::string KernelTimePath(const std::string& machine);

// Nothing if there is no such file. One that is damaged, or of another machine,
// is a warning and nothing, too: times can be measured again.
SecondsByKernel ReadKernelTimes(const std::string& path,
                                const std::string& machine);

// Adds `times` to those in the file, which is made, with its folder, if need
// be, or replaced if it cannot be used. A kernel that is there already keeps
// its time: of two processes that measure at once, both go by the first one's
// next time. The file is whole at any instant; what another process writes in
// the same one may be lost, and is measured again.
absl::Status AddKernelTimes(const std::string& path, const std::string& machine,
                            const SecondsByKernel& times);

}  // namespace facet::benchmarks

#endif  // FACET_BENCHMARKS_TUNING_KERNEL_TIME_FILE_H_
