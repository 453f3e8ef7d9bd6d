# Sourced by the tests of this folder. FEATFLOW is the program, SOURCE the repository.
set -euo pipefail
export LC_ALL=C.UTF-8
: "${FEATFLOW:?}" "${SOURCE:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/featflow-test-XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# make_family FOLDER: corpora and tiny.toml
make_family() {
  mkdir -p "$1"
  awk -v dir="$1" -f "$SOURCE/tests/end_to_end/make_corpora.awk"
  cp "$SOURCE/tests/end_to_end/tiny.toml" "$1/tiny.toml"
}

# same_bytes RUN RUN: all files but those that are exempt from the promise
same_bytes() {
  diff -r --exclude=provenance.json --exclude=timings.jsonl --exclude=log.txt \
    --exclude=.lock --exclude=.old "$1" "$2" >&2
}

# refused TEXT COMMAND...: exits with 1, and says TEXT in one line on stderr
refused() {
  local expected=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = 1 ] || fail "exit code $code, expected 1: $* ($(tail -n 1 "$work/err"))"
  [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "not one error line: $(cat "$work/err")"
  grep '^error: ' "$work/err" | grep -qF -- "$expected" ||
    fail "expected '$expected' in: $(grep '^error: ' "$work/err")"
}
