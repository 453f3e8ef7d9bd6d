#!/usr/bin/env bash
# no_avx_outside_kernels.sh PROGRAM...: the instructions of AVX, AVX-512, FMA and BMI in a linked program
# all lie in functions of the namespaces featflow::avx2 and featflow::avx512 (and some do, or this would
# be blind).
set -euo pipefail
command -v objdump >/dev/null || exit 77
(($#))
for program; do
  objdump --disassemble --no-show-raw-insn "$program" | awk -v program="$program" '
    /^[0-9a-f]+ <.*>:$/ { of_kernel = $2 ~ /^<_ZN8featflow(4avx2|6avx512)/; name = $2; next }
    # All AVX mnemonics begin with v; verr and verw are no vectors.
    $2 ~ /^(v[a-z0-9]+|andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)$/ && $2 !~ /^ver[rw]$/ {
      if (of_kernel) expected++
      else if (!wrong[name]++) print program ": " name " " $0
    }
    END {
      for (name in wrong) count++
      printf "%s: %d instructions in kernels, %d functions outside\n", program, expected, count
      exit !expected || count
    }'
done
