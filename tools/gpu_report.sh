#!/usr/bin/env bash
# On a machine with NVIDIA GPUs and a CUDA toolkit: runs all tests with the real
# CUDA backend, then every published row on all GPUs, and prints ours beside
# what arcface_torch published for 8 x V100. Leaves one JSON (default
# gpu_report.json): the machine, the tests, the rows.
#
#   tools/gpu_report.sh [FILE.json] [flags of //benchmarks:published_rows ...]
set -uo pipefail

usage() {
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  exit "$1"
}

out="gpu_report.json"
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then usage 0; fi
if [[ $# -gt 0 && "$1" != --* ]]; then
  out="$1"
  shift
fi
# Relative to where the user stands.
out=$(realpath -m "$out")
if [[ ! -d $(dirname "$out") ]]; then
  echo "gpu_report: $(dirname "$out") is no folder" >&2
  exit 1
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

if ! command -v nvidia-smi > /dev/null; then
  echo "gpu_report: no nvidia-smi: this machine has no NVIDIA driver" >&2
  exit 1
fi
gpus=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader) || exit 1
echo "$gpus"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GPUS="$gpus" COMMIT
COMMIT=$(git describe --always --dirty 2> /dev/null || echo unknown)

./bazelw test --config=cuda --keep_going --color=no --curses=no //... 2>&1 | tee "$work/tests.log"
tests=${PIPESTATUS[0]}
./bazelw run --config=cuda //benchmarks:published_rows -- --json="$work/rows.json" "$@"
rows=$?

# Whole or not at all.
python3 - "$work" "$out" "$tests" "$rows" << 'END'
import json, os, re, sys

work, out, tests, rows = sys.argv[1:]
log = open(os.path.join(work, "tests.log"), errors="replace").read()
results = {name: status for name, status in
           re.findall(r"^(//\S+)\s+(?:\(cached\) )?(PASSED|FAILED|TIMEOUT|NO STATUS)", log, re.M)}
report = {
    "commit": os.environ["COMMIT"],
    "gpus": os.environ["GPUS"].splitlines(),
    "tests_exit_code": int(tests),
    "tests": results,
    "rows_exit_code": int(rows),
    "published_rows": None,
}
path = os.path.join(work, "rows.json")
if os.path.exists(path):
    report["published_rows"] = json.load(open(path))
with open(out + ".part", "w") as file:
    json.dump(report, file, indent=1)
    file.write("\n")
os.replace(out + ".part", out)
passed = sum(status == "PASSED" for status in results.values())
print(f"{passed} of {len(results)} test targets passed; {out}")
END
written=$?
((tests == 0 && rows == 0 && written == 0))
