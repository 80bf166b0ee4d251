#!/usr/bin/env bash
# On a machine with NVIDIA GPUs and a CUDA toolkit: runs all tests with the real
# CUDA backend, then every published row on all GPUs (or CUDA_VISIBLE_DEVICES),
# and prints ours beside what arcface_torch published for 8 x V100. Leaves one
# JSON (default gpu_report.json): the machine; the tests, how many cases of each
# ran, and why others were skipped; the rows.
#
#   tools/gpu_report.sh [FILE.json] [flags of //benchmarks:published_rows ...]
set -uo pipefail

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0"
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
# By name, so that rows fail, and do not run on CPUs, if CUDA cannot use them.
count=$(wc -l <<< "$gpus")
if [[ -n "${CUDA_VISIBLE_DEVICES:-}" ]]; then
  count=$(tr ',' '\n' <<< "$CUDA_VISIBLE_DEVICES" | wc -l)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GPUS="$gpus" COMMIT
COMMIT=$(git describe --always --dirty 2> /dev/null || echo unknown)

./bazelw test --config=cuda --keep_going --color=no --curses=no //... 2>&1 | tee "$work/tests.log"
tests=${PIPESTATUS[0]}
./bazelw run --config=cuda //benchmarks:published_rows -- \
  --devices="cuda:$count" --json="$work/rows.json" "$@"
rows=$?

# Whole or not at all.
python3 - "$work" "$out" "$tests" "$rows" << 'END'
import collections, json, os, re, sys
import xml.etree.ElementTree as ElementTree

work, out, tests, rows = sys.argv[1:]
log = open(os.path.join(work, "tests.log"), errors="replace").read()
targets = {}
reasons = collections.Counter()
for name, status in re.findall(
        r"^(//\S+)\s+(?:\(cached\) )?(PASSED|FAILED TO BUILD|FAILED|TIMEOUT|NO STATUS)", log, re.M):
    target = targets[name] = {"status": status, "cases": 0, "failed": 0, "skipped": 0}
    path = os.path.join("bazel-testlogs", name[2:].replace(":", "/"), "test.xml")
    if status in ("FAILED TO BUILD", "NO STATUS") or not os.path.exists(path):
        continue
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError:  # Cut off, as the test was.
        continue
    for case in cases:
        target["cases"] += 1
        target["failed"] += case.find("failure") is not None or case.find("error") is not None
        if case.get("result") == "skipped":
            target["skipped"] += 1
            # After the place in the source; old GoogleTest gives no reason.
            reason = case.find("skipped")
            text = "" if reason is None else reason.get("message", "")
            reasons[text.partition("\n")[2] or "no reason given"] += 1
report = {
    "commit": os.environ["COMMIT"],
    "gpus": os.environ["GPUS"].splitlines(),
    "tests_exit_code": int(tests),
    "tests": targets,
    "skipped": dict(reasons),
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
for reason, times in reasons.most_common():
    print(f"{times} skipped: {reason}")
total, failed, skipped = (sum(t[k] for t in targets.values()) for k in ("cases", "failed", "skipped"))
passed = sum(t["status"] == "PASSED" for t in targets.values())
print(f"{passed} of {len(targets)} test targets passed; of {total} cases "
      f"{total - failed - skipped} passed, {failed} failed, {skipped} were skipped; {out}")
END
written=$?
((tests == 0 && rows == 0 && written == 0))
