#!/usr/bin/env bash
# cmake --install: the program runs from where it was put and finds its module there, and what shells and man read
# lies where they look.
source "$SOURCE/tests/end_to_end/library.sh"
cmake --install "$(dirname -- "$FEATFLOW")" --prefix "$work/usr" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
program=$work/usr/bin/featflow
"$program" --version | grep -q '^featflow ' || fail "no version: $("$program" --version)"
for file in man/man1/featflow.1 bash-completion/completions/featflow zsh/site-functions/_featflow \
  fish/vendor_completions.d/featflow.fish; do
  [ -s "$work/usr/share/$file" ] || fail "no $file: $(cd "$work/usr" && find .)"
done
make_family "$work/family"
"$program" tokenizer train --data "$work/family/english.jsonl" --vocab-size 320 --out "$work/own.model" --quiet ||
  fail "no tokenizer"
"$program" tokenizer encode "$work/own.model" 'a b' --quiet | grep -q '[0-9]' || fail "no tokens"
