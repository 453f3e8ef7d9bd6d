#!/usr/bin/env bash
# A disk that fills up in the middle of a study: one line, exit code 1, and with room again the run goes
# on to the bytes of one left alone. On a small file system of its own, where the system allows that.
source "$SOURCE/tests/end_to_end/library.sh"

if [ -z "${IN_NAMESPACE-}" ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(--map-root-user)
  if ! unshare "${as_root[@]}" --mount mount -t tmpfs none "$work" 2>"$work/why"; then
    echo "skipped: no file system of its own can be mounted ($(cat "$work/why"))"
    exit 77
  fi
  code=0
  IN_NAMESPACE=1 unshare "${as_root[@]}" --mount bash "$0" || code=$?
  exit "$code"
fi

make_family "$work/family"
mkdir "$work/disk"
mount -t tmpfs -o size=1g none "$work/disk"
trap 'umount --lazy "$work/disk"; rm -rf "$work"' EXIT
cd "$work"
"$FEATFLOW" run family/tiny.toml --out alone -q >/dev/null || fail "the run left alone failed"

for stage in model/Base autoencoder/Lua activations/Lua; do
  run=disk/run-${stage//\//-}
  "$FEATFLOW" run family/tiny.toml --out "$run" >"$work/out" 2>"$work/err" &
  pid=$!
  until grep -q "^\[.*\] $stage" "$work/err"; do
    kill -0 "$pid" 2>/dev/null || fail "over before $stage: $(tail -n 1 "$work/err")"
    sleep 0.01
  done
  head -c 2G /dev/zero >disk/filler 2>/dev/null && fail "the disk is not full"
  code=0
  wait "$pid" || code=$?
  [ "$code" = 1 ] || fail "$stage: exit code $code, expected 1 ($(tail -n 1 "$work/err"))"
  [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "$stage: not one error line: $(cat "$work/err")"
  grep '^error: ' "$work/err" | grep -q 'No space left on device' || fail "$stage: $(grep '^error: ' "$work/err")"
  done_before=$(find "$run" -name artifact.json -not -path '*/.*' | wc -l)
  [ "$done_before" -gt 0 ] || fail "$stage: what was computed is lost"
  rm disk/filler
  "$FEATFLOW" run family/tiny.toml --out "$run" -q >/dev/null || fail "$stage: the resumed run failed"
  same_bytes alone "$run" || fail "$stage: a run over a full disk differs"
  rm -r "$run"
done
echo "1 passed, 0 failed"
