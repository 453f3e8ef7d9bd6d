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

# The command line: what is not there is named, with what is nearest, and the code is 2.
misspelt() {
  local expected=$1 code=0
  shift
  "$FEATFLOW" "$@" >out.txt 2>err.txt || code=$?
  [ $code = 2 ] || fail "exit code $code, expected 2: $*"
  grep -qxF -- "error: $expected" err.txt || fail "expected '$expected' in: $(cat err.txt)"
}
misspelt "featflow: no command 'rnu'; did you mean 'run'?" rnu $study
misspelt "sae: no command 'trian'; did you mean 'train'?" sae trian
misspelt "explain: no option '--hypotesis'; did you mean '--hypothesis'?" explain run --hypotesis =
misspelt "merge: no option '--methdo'; did you mean '--method'?" merge a b --methdo=slerp

# The study file.
refused "did you mean 'autoencoder.expansion'" "$FEATFLOW" run $study --out run --set autoencoder.expantion=3
refused "there is no such stage" "$FEATFLOW" run $study --out run --until modle
sed 's/english.jsonl/nothing*.jsonl/' $study >family/missing.toml
refused "nothing*.jsonl" "$FEATFLOW" run family/missing.toml --out new
[ ! -e new ] || fail "a refused study left a folder"

refused "matching.floor is 0.9" "$FEATFLOW" run $study --out run --set matching.floor=0.9
refused "blocks.0.mlp.hook_pots" "$FEATFLOW" run $study --out new --set autoencoder.tap=blocks.0.mlp.hook_pots
refused "l1_table is" "$FEATFLOW" run $study --out new --set 'autoencoder.l1_table=[1e-3, 0.001]'
refused "learning_rate: given 0" "$FEATFLOW" run $study --out new --set autoencoder.learning_rate=0
refused "max_position_embeddings" "$FEATFLOW" run $study --out new --set autoencoder.block_size=4096
refused "a block of each corpus" "$FEATFLOW" run $study --out new --set autoencoder.explained_loss_tokens=9
refused "did you mean 'Stories'" "$FEATFLOW" train $study --model Storeis --out new --run new
[ ! -e new ] || fail "a refused study left a folder"
refused "extension_share" "$FEATFLOW" run $study --out run --set model.Merged.extension_share=0.1

# The processor.
refused "FEATFLOW_CPU is 'sse'" env FEATFLOW_CPU=sse "$FEATFLOW" doctor
FEATFLOW_CPU=baseline "$FEATFLOW" doctor | grep '^kernels  *baseline' >/dev/null || fail "FEATFLOW_CPU is not obeyed"

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
# A run in use, by a base model that takes long enough.
long="--set model.Base.training.tokens=100_000_000"
# shellcheck disable=SC2086
"$FEATFLOW" run $study $long --out run --until model/Base >/dev/null 2>err.txt &
pid=$!
until grep -q '^\[.*\] model/Base' err.txt; do
  kill -0 $pid 2>/dev/null || fail "over before model/Base: $(tail -n 1 err.txt)"
  sleep 0.01
done
refused "$pid" "$FEATFLOW" run $study --out run

# Ctrl-C saves and says how to go on; the code is 130.
kill -INT $pid
code=0
wait $pid || code=$?
[ $code = 130 ] || fail "exit code $code after Ctrl-C, expected 130"
grep -qF "to go on: featflow run $study --out run $long --until model/Base" err.txt ||
  fail "no way to go on: $(cat err.txt)"
[ -s run/model/.Base.partial/checkpoint.safetensors ] || fail "Ctrl-C saved nothing"
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

# A model is not fed the tokens of another tokenizer.
cat >family/loaded.toml <<END
name = "loaded"
corpus.lua.sources = ["lua.jsonl"]
model.Loaded.path = "../run/model/Lua"
model.Loaded.corpora.lua = 1.0
END
refused "is no folder" "$FEATFLOW" run family/loaded.toml --out loaded --set model.Loaded.path=../run/model/Lau
refused "not the study's tokenizer" "$FEATFLOW" run family/loaded.toml --out loaded \
  --set tokenizer.path=../small/tokenizer/tokenizer/tokenizer.model

# A typo on the command line is code 2.
code=0
"$FEATFLOW" run $study --outt x >/dev/null 2>&1 || code=$?
[ $code = 2 ] || fail "a wrong option gave $code"

# What was there before all this still is.
for folder in corpus tokenizer tokens; do
  diff -r "before/$folder" "run/$folder" >&2 || fail "$folder changed"
done
echo "1 passed, 0 failed"
