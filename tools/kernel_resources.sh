#!/usr/bin/env bash
# What every CUDA kernel needs on every architecture, as a table: registers per
# thread, bytes of stack, of static shared memory, and of spilled registers.
# Fails if any kernel spills. Needs the toolkit, no GPU.
#
#   bazel run //tools:kernel_resources -- [bazel options]
#
# Of the architectures that are built: --define=cuda_archs=80,90 for fewer.
set -euo pipefail
cd "${BUILD_WORKSPACE_DIRECTORY:-$(dirname "${BASH_SOURCE[0]}")/..}"
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  sed -n '2,8s/^# \{0,1\}//p' tools/kernel_resources.sh
  exit
fi
options=(--config=cuda "$@")
mapfile -t targets < <(./bazelw query 'kind(nvcc_library, //...)' 2> /dev/null)
if ((${#targets[@]} == 0)); then
  echo "kernel_resources.sh: bazel query finds no nvcc_library" >&2
  exit 1
fi
# What the compiler prints meanwhile is what the reports hold.
if ! log=$(./bazelw build "${options[@]}" --output_groups=kernel_resources \
  "${targets[@]}" 2>&1); then
  echo "${log}" >&2
  exit 1
fi
bin=$(./bazelw info "${options[@]}" bazel-bin 2> /dev/null)
reports=()
for target in "${targets[@]}"; do
  name=${target#//}
  for report in "${bin}/${name%:*}/_objs/${name#*:}"/*.resources.txt; do
    reports+=("${report}")
  done
done
awk '
  /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4] }
  /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
  /Used [0-9]+ registers/ {
    registers = $5
    shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
    printf "%-7s %9d %6d %7d %8d  %s\n", arch, registers, stack, shared, spilled, kernel
    if (spilled > 0) ++bad
    ++count
  }
  BEGIN { printf "%-7s %9s %6s %7s %8s  %s\n", "arch", "registers", "stack", "shared", "spilled", "kernel" }
  END {
    printf "%d of %d kernels spill registers\n", bad, count
    exit bad > 0 || count == 0
  }' "${reports[@]}" | c++filt
