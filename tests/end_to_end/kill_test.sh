#!/usr/bin/env bash
# Killed with -9 at random moments and resumed, a tiny study ends with the same bytes as one left
# alone. KILLS and SEED can be set.
source "$SOURCE/tests/end_to_end/library.sh"
make_family "$work/family"
cd "$work"
kills=${KILLS:-20}
RANDOM=${SEED:-20240611}

start=$(date +%s%N)
"$FEATFLOW" run family/tiny.toml --out alone -q >/dev/null || fail "the run left alone failed"
whole_ms=$((($(date +%s%N) - start) / 1000000))

# Most kills fall into the first pass; a run that ends before its kill starts over in a new folder.
done_kills=0 passes=0
while [ "$done_kills" -lt "$kills" ]; do
  "$FEATFLOW" run family/tiny.toml --out "killed-$passes" -q >/dev/null 2>&1 &
  pid=$!
  after_ms=$((RANDOM % (whole_ms / 3) + 200))
  sleep "$(printf '%d.%03d' $((after_ms / 1000)) $((after_ms % 1000)))"
  if kill -9 "$pid" 2>/dev/null; then
    done_kills=$((done_kills + 1))
    wait "$pid" 2>/dev/null || true
  else
    wait "$pid" || fail "a resumed run failed"
    same_bytes alone "killed-$passes" || fail "a killed run differs"
    passes=$((passes + 1))
  fi
done
"$FEATFLOW" run family/tiny.toml --out "killed-$passes" -q >/dev/null || fail "the last resume failed"
same_bytes alone "killed-$passes" || fail "a killed run differs"
echo "$done_kills kills, $((passes + 1)) runs ended with the bytes of a run left alone ($whole_ms ms)"
echo "1 passed, 0 failed"
