#!/usr/bin/env bash
# What a user gets wrong is refused with one line and exit code 1, and nothing already computed is
# lost. (Malformed checkpoints and other files: the unit tests of storage, checkpoint, corpus,
# tokens and autoencoder.)
source "$SOURCE/tests/end_to_end/library.sh"
make_family "$work/family"
cd "$work"
study=family/tiny.toml

"$FEATFLOW" run $study --out run --until tokens -q >/dev/null
cp -r run before

# The study file.
refused "did you mean 'autoencoder.expansion'" "$FEATFLOW" run $study --out run --set autoencoder.expantion=3
refused "there is no such stage" "$FEATFLOW" run $study --out run --until modle
sed 's/english.jsonl/nothing*.jsonl/' $study >family/missing.toml
refused "nothing*.jsonl" "$FEATFLOW" run family/missing.toml --out new
[ ! -e new ] || fail "a refused study left a folder"

# Text.
: >family/empty.jsonl
sed 's/english.jsonl/empty.jsonl/' $study >family/empty.toml
refused "english" "$FEATFLOW" run family/empty.toml --out empty-run
printf '{"text": "x"}\n{"txt": "y"}\n' >family/keyless.jsonl
sed 's/english.jsonl/keyless.jsonl/' $study >family/keyless.toml
refused "keyless.jsonl:2" "$FEATFLOW" run family/keyless.toml --out keyless-run
refused "block" "$FEATFLOW" run $study --out run --set training.block_size=1000000 --until model/Base

# The run folder.
sed 's/name = "tiny"/name = "other"/' $study >family/other.toml
refused "holds a run of study 'tiny'" "$FEATFLOW" run family/other.toml --out run
mkdir occupied && touch occupied/thesis.txt
refused "not a run of FeatFlow" "$FEATFLOW" run $study --out occupied
refused "not a run of FeatFlow" "$FEATFLOW" clean occupied
[ -e occupied/thesis.txt ] || fail "a foreign folder was touched"
"$FEATFLOW" run $study --out run --until model/Base -q >/dev/null 2>&1 &
holder=$!
sleep 1
if kill -0 $holder 2>/dev/null; then
  refused "$holder" "$FEATFLOW" run $study --out run
fi
wait $holder

# Ctrl-C saves and says how to go on; the code is 130.
"$FEATFLOW" run $study --out run --until model >/dev/null 2>err.txt &
pid=$!
sleep 1
if kill -INT $pid 2>/dev/null; then
  code=0
  wait $pid || code=$?
  [ $code = 130 ] || [ $code = 0 ] || fail "exit code $code after Ctrl-C"
  [ $code = 0 ] || grep -q 'to go on: featflow run' err.txt || fail "no way to go on: $(cat err.txt)"
fi
"$FEATFLOW" run $study --out run --until model -q >/dev/null || fail "could not go on"

# Models.
"$FEATFLOW" run $study --out small --set tokenizer.vocab_size=390 --until model/Base -q >/dev/null
refused "tokenizer" "$FEATFLOW" merge run/model/Base small/model/Base --out merged
rm small/model/Base/tokenizer.model run/model/Stories/tokenizer.model
refused "390" "$FEATFLOW" merge run/model/Stories small/model/Base --out merged
[ ! -e merged ] || fail "a refused merge left a folder"
cp -r run/model/Lua damaged
truncate -s -1 damaged/model.safetensors
refused "damaged/model.safetensors" "$FEATFLOW" eval damaged --data family/lua.jsonl
printf '\377\377\377\377\377\377\377\377' | dd of=damaged/model.safetensors conv=notrunc status=none
refused "damaged/model.safetensors" "$FEATFLOW" eval damaged --data family/lua.jsonl
refused "blocks.9" "$FEATFLOW" forward run/model/Lua --ids 1,2 --taps blocks.9.mlp.hook_post --out x.safetensors
refused "99999" "$FEATFLOW" forward run/model/Lua --ids 1,99999 --out x.safetensors

# A typo on the command line is code 2.
code=0
"$FEATFLOW" run $study --outt x >/dev/null 2>&1 || code=$?
[ $code = 2 ] || fail "a wrong option gave $code"

# A full disk. Needs a file system of its own.
mkdir disk
if mount -t tmpfs -o size=3m tmpfs disk 2>/dev/null; then
  trap 'umount "$work/disk" 2>/dev/null || true; rm -rf "$work"' EXIT
  refused "" "$FEATFLOW" run $study --out disk/run
  df --output=avail disk >/dev/null
  umount disk
  echo "full disk: $(tail -n 1 err 2>/dev/null)"
else
  echo "full disk: not tried, this user cannot mount"
fi

# What was there before all this still is.
for folder in corpus tokenizer tokens; do
  diff -r "before/$folder" "run/$folder" >&2 || fail "$folder changed"
done
echo "1 passed, 0 failed"
