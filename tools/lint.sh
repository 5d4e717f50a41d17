#!/bin/sh
# lint.sh BUILD_DIRECTORY: clang-format over all sources, and clang-tidy over what BUILD_DIRECTORY compiles, one process
# per core. Prints the findings and fails when there is one.
set -u
build=${1:?usage: lint.sh BUILD_DIRECTORY}
cd "$(dirname "$0")/.." || exit 1
status=0
find src tests bench fuzz \( -name '*.cc' -o -name '*.h' -o -name '*.inl' \) -print0 | xargs -0 clang-format --dry-run -Werror || status=1
# Sources as the build knows them, without those that it generates.
sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" | grep -v "^$PWD/$build/" | sort -u |
  xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "$build" 2>/dev/null || status=1
[ "$status" -eq 0 ] && echo 'lint: nothing found'
exit "$status"
