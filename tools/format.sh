#!/usr/bin/env bash
# Formats all C++ files with .clang-format. With --check: changes nothing,
# lists the files that it would change and fails if there are any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v clang-format > /dev/null; then
  echo "format.sh: clang-format is missing (apt-get install clang-format)" >&2
  exit 1
fi
mapfile -t files < <(git ls-files -co --exclude-standard '*.h' '*.cc' '*.cu')
if ((${#files[@]} == 0)); then
  # Not a success, and clang-format would wait for its standard input.
  echo "format.sh: git lists no files; is git here, and this a clone of yours?" >&2
  exit 1
fi
if [[ "${1:-}" == "--check" ]]; then
  clang-format --dry-run --Werror "${files[@]}"
  echo "format.sh: ${#files[@]} files are formatted"
else
  clang-format -i "${files[@]}"
fi
