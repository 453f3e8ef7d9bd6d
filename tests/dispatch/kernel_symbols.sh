#!/usr/bin/env bash
# kernel_symbols.sh OBJECT...: each defines one symbol that other objects can see, its table. An inline
# function or template of the standard library that the compiler did not inline would be there too, and
# the linker could choose the copy for AVX-512 for the whole program.
set -euo pipefail
command -v nm >/dev/null || exit 77
failures=0
for object; do
  set=$(sed -nE 's,.*_(baseline|avx2|avx512)\.dir/.*,\1,p' <<<"$object")
  symbols=$(nm --demangle --extern-only --defined-only "$object" | cut -d ' ' -f 2-)
  if ! grep -qxE "[DR] featflow::${set:?"$object: of no instruction set"}::[a-z_]+_kernels" <<<"$symbols"; then
    printf '%s: expected only a table of namespace featflow::%s, found:\n%s\n' "$object" "$set" "$symbols"
    failures=$((failures + 1))
  elif [[ $(wc -l <<<"$symbols") != 1 ]]; then
    printf '%s: defines more than its table:\n%s\n' "$object" "$symbols"
    failures=$((failures + 1))
  fi
done
(($# && !failures))
