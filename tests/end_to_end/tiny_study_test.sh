#!/usr/bin/env bash
# A tiny family from text to report, checked file by file; then run again, changed, and cleaned.
source "$SOURCE/tests/end_to_end/library.sh"
make_family "$work/family"
cd "$work"

"$FEATFLOW" run family/tiny.toml --out run >out.txt 2>err.txt || fail "$(tail -n 3 err.txt)"
grep -q '^Report: ' out.txt || fail "no report announced"

for file in corpus/lua/corpus.json corpus/lua/train.jsonl.zst tokenizer/tokenizer/tokenizer.model \
  tokens/lua/train.safetensors matching_text/matching_text/tokens.safetensors \
  model/Base/config.json model/Base/model.safetensors model/Base/tokenizer.model \
  model/Base/metrics.jsonl model/Merged/merge.json sweep/Merged/sweep.csv sweep/Merged/sweep.json \
  sweep/Merged+ties/sweep.json model/Merged+ties/merge.json evaluation/Merged+linear/evaluation.json \
  retained/Merged/retained.json evaluation/Merged/evaluation.json extension/Base/extension.json autoencoder/Lua/cfg.json \
  autoencoder/Lua/sae_weights.safetensors autoencoder/Lua/metrics.jsonl \
  autoencoder/Base@0.0005/cfg.json autoencoder_evaluation/Lua/evaluation.json \
  activations/Lua/shard-00000.safetensors matching/Base--Lua/matches.safetensors \
  matching/Base--Lua/matches.csv flow/flow/flow.json flow/flow/flow.csv \
  case_studies/case_studies/case_studies.json causal/Base--Lua/causal.json \
  causal/Lua--Merged/causal.json causal/Stories--Merged/causal.json report/report/report.html report/report/results.sqlite study.toml \
  provenance.json timings.jsonl log.txt; do
  [ -s "run/$file" ] || fail "missing or empty: $file"
done
if find run -name '*.partial' -o -name 'checkpoint*' | grep -q .; then
  fail "left behind: $(find run -name '*.partial' -o -name 'checkpoint*')"
fi

# The loss of the base falls well below that of a uniform guess over 400 tokens (6.0 nats).
first=$(head -n 1 run/model/Base/metrics.jsonl | sed 's/.*"loss":\([0-9.]*\).*/\1/')
last=$(grep '"loss"' run/model/Base/metrics.jsonl | grep -v validation | tail -n 1 | sed 's/.*"loss":\([0-9.]*\).*/\1/')
awk -v a="$first" -v b="$last" 'BEGIN { exit !(a > 5 && b < 2.5) }' || fail "loss $first → $last"

# Ceilings and nulls of one edge, and a control beside it.
for key in '"ceiling"' '"conditional"' '"seed_dependent"' '"found_again"'; do
  grep -q "$key" run/verdict/Base--Lua/verdict.json || fail "no $key in verdict.json"
done
for null in shifted_rows same_token random_model; do
  grep -q "\"null\": \"$null\"" run/nulls/Base--Lua/nulls.json || fail "no null $null"
done
grep -q '"controls":\[{"parent":"Base","child":"Untrained"' run/flow/flow/flow.json || fail "no control in flow.json"
grep -q 'against a second autoencoder of each' out.txt || fail "no ceiling in the summary"

# Effects of removing features: at most 3 of each class, and whatever the case studies add.
check=run/causal/Stories--Merged/causal.json
for class in persisting disappearing emerging; do
  n=$(grep -c "\"class\": \"$class\"" "$check" || true)
  [ "$n" -le 3 ] || fail "$n pairs of class $class, expected at most 3"
  [ "$class" = persisting ] || [ "$n" -ge 1 ] || fail "no pairs of class $class"
done
grep -q '"class": "found_again"' "$check" && fail "pairs found again on an edge without a ceiling"
n=$(grep -c '"class": "found_again"' run/causal/Base--Lua/causal.json || true)
[ "$n" -ge 1 ] && [ "$n" -le 3 ] || fail "$n pairs found again, expected 1 to 3"
pairs=$(grep -c '"class"' "$check")
for key in '"logit_correlation": -?[0-9]' '"cosine": -?[0-9]' '"flagged": (true|false)'; do
  [ "$(grep -cE "$key" "$check")" = "$pairs" ] || fail "not in every pair: $key"
done
[ "$(grep -c '"mean_change"' "$check")" = $((2 * pairs)) ] || fail "an effect is missing"
[ "$(grep -cE 'causal check: .* pairs (–|-?[0-9.]+), flagged [0-9]+ of [0-9]+' out.txt)" = 4 ] ||
  fail "not a line for every edge: $(grep causal out.txt)"
[ "$(grep -cE 'causal check: .*; between two autoencoders of Base (–|-?[0-9.]+), flagged [0-9]+ of [1-3]$' out.txt)" = 1 ] ||
  fail "no baseline of the edge with a ceiling: $(grep causal out.txt)"

# Methods compared: each has a balance point with its interval, and counts for both parents; what is
# retained is not more than what is measurable.
grep -q '^Methods for Merged' out.txt || fail "no table of methods"
for method in slerp linear ties; do
  grep -q "\"method\": \"$method\"" run/retained/Merged/retained.json || fail "no $method in retained.json"
done
[ "$(grep -c '"interval": {' run/retained/Merged/retained.json)" = 6 ] || fail "intervals of three methods"
awk '/"measurable":/ { m = $2 + 0; some += m } /"retained": [0-9]/ { n++; if ($2 + 0 > m) bad = 1 }
  END { exit !(n == 20 && some > 0 && !bad) }' run/retained/Merged/retained.json ||
  fail "counts of retained features: $(grep -E '"(measurable|retained)"' run/retained/Merged/retained.json | head -n 8)"
find run -name '*.progress' | grep -q . && fail "left behind: $(find run -name '*.progress')"

# A second run does nothing and changes nothing.
cp -r run first
"$FEATFLOW" run family/tiny.toml --out run >out2.txt 2>err2.txt
grep -qE '^\[' err2.txt && fail "a second run did work: $(grep -E '^\[' err2.txt)"
same_bytes run first || fail "a second run changed bytes"

# Another run from the start has the same bytes.
"$FEATFLOW" run family/tiny.toml --out again -q >/dev/null
same_bytes run again || fail "two runs differ"

# A changed key reruns what depends on it, and says why.
"$FEATFLOW" run family/tiny.toml --out run --set matching.threshold=0.7 --dry-run >plan.txt
grep -q 'matching.*threshold 0.8 → 0.7' plan.txt || fail "no reason: $(grep stale plan.txt)"
grep -E '^model/' plan.txt | grep -q stale && fail "a threshold made models stale"
"$FEATFLOW" run family/tiny.toml --out run --set matching.threshold=0.7 -q >/dev/null
[ -d run/.old ] || fail "superseded artefacts are gone"
"$FEATFLOW" clean run | grep -q freed
[ ! -e run/.old ] || fail "clean left .old"
"$FEATFLOW" status run --json >status.json
grep -q '"state": "ready"' status.json || fail "no stage is ready: $(head -c 300 status.json)"
grep '"state"' status.json | grep -v '"ready"' && fail "a stage of a finished run is not ready"

# Models from elsewhere: a folder instead of training, with its own tokenizer; a child of it; a merge.
cat >family/loaded.toml <<END
name = "loaded"
[corpus.lua]
sources = ["lua.jsonl"]
validation_share = 0.15
matching_share = 0.25
[corpus.stories]
sources = ["stories.jsonl"]
validation_share = 0.15
matching_share = 0.25
[model.Lua]
path = "../run/model/Lua"
corpora = { lua = 1.0 }
[model.Stories]
path = "../run/model/Stories"
corpora = { stories = 1.0 }
[model.Child]
parent = "Lua"
corpora = { stories = 1.0 }
training = { tokens = 2000, block_size = 32 }
[model.Merged]
merge = { parents = ["Lua", "Stories"], steps = 3 }
[evaluation]
tokens = 1000
sweep_tokens = 1000
[autoencoder]
expansion = 2
tokens = 50_000
learning_rate = 3e-3
evaluation_tokens = 2000
explained_loss_tokens = 1000
[matching]
tokens = 4000
minimum_tokens = 5
minimum_documents = 2
END
"$FEATFLOW" run family/loaded.toml --out loaded >loaded.txt 2>loaded.err || fail "$(tail -n 3 loaded.err)"
[ -s loaded/report/report/report.html ] || fail "no report of loaded models"
cmp run/tokenizer/tokenizer/tokenizer.model loaded/model/Lua/tokenizer.model || fail "another tokenizer"

# Commands on what the run made.
"$FEATFLOW" eval run/model/Lua --data family/lua.jsonl --json | grep -q '"accuracy"' || fail eval
"$FEATFLOW" generate run/model/Stories --prompt 'Once upon' --max-tokens 5 >/dev/null || fail generate
"$FEATFLOW" forward run/model/Lua --ids 1,5,6 --taps blocks.0.mlp.hook_post --out cache.safetensors \
  >/dev/null || fail forward
"$FEATFLOW" merge run/model/Lua run/model/Stories --t 0.5 --out merged >/dev/null || fail merge
"$FEATFLOW" sweep run/model/Lua run/model/Stories --steps 3 --eval-a family/lua.jsonl \
  --eval-b family/stories.jsonl --base run/model/Base --max-tokens 2000 --out swept >/dev/null || fail sweep
"$FEATFLOW" sae train --model run/model/Lua --data family/lua.jsonl --tokens 20000 --expansion 2 \
  --out sae >/dev/null || fail "sae train"
"$FEATFLOW" sae train --activations cache.safetensors --tensor blocks.0.mlp.hook_post \
  --batch-rows 2 --tokens 40 --expansion 2 --out sae2 >/dev/null || fail "sae train --activations"
"$FEATFLOW" sae eval sae --model run/model/Lua --data family/lua.jsonl --tokens 4000 >/dev/null || fail "sae eval"
"$FEATFLOW" sae eval sae --model run/model/Lua --data family/lua.jsonl --tokens 4000 --block-size 8 2>&1 >/dev/null |
  grep -q 'was trained on blocks of 24' || fail "no warning of other blocks"
"$FEATFLOW" activations --model run/model/Lua --sae sae --data family/lua.jsonl --out acts >/dev/null ||
  fail activations
"$FEATFLOW" match acts acts --out matched --json | grep -q '"features_a"' || fail match
"$FEATFLOW" flow run >/dev/null || fail flow
"$FEATFLOW" report run >/dev/null || fail report

# Explanations: of every model, and of a hypothesis that a user asks.
"$FEATFLOW" explain run >explained.txt || fail explain
grep -q 'shuffled features' explained.txt || fail "nothing to compare explanations with: $(cat explained.txt)"
"$FEATFLOW" explain run --hypothesis e --json >hypothesis.json || fail "explain --hypothesis"
grep -q '"effect_correlation"' hypothesis.json || fail "no causal check: $(head -c 300 hypothesis.json)"
"$FEATFLOW" explain run --hypothesis '/[a-z]/' --no-causal >/dev/null || fail "explain with an expression"
# What a language model would be asked, by nobody being asked: of all models, or of the features named.
estimate() { "$FEATFLOW" explain run --language-model --base-url http://127.0.0.1:1/v1 --model m --estimate "$@" 2>/dev/null; }
[[ $(estimate | cut -d : -f 1 | paste -sd ' ') == "Base Lua Stories Merged" ]] ||
  fail "an estimate of each model: $(estimate)"
[[ $(estimate --feature Lua/3 --feature Lua/5) =~ ^Lua:\ ([0-2])\ features\ \(([0-2])\ more ]] &&
  ((BASH_REMATCH[1] + BASH_REMATCH[2] == 2)) ||
  fail "an estimate of two features: $(estimate --feature Lua/3 --feature Lua/5)"
refused "no feature was explained" "$FEATFLOW" explain run --language-model --base-url http://127.0.0.1:1/v1 \
  --model m --feature Lua/3 --min-examples 1000000
"$FEATFLOW" explain run --hypothesis 'no such text' | grep -q 'not in the matching text' ||
  fail "a hypothesis that does not occur"
refused "expected MODEL/NUMBER" "$FEATFLOW" explain run --feature 12
refused "no such model" "$FEATFLOW" explain run --feature Lau/12
refused "not a regular expression" "$FEATFLOW" explain run --hypothesis '/[/'

# Pairs to rate: the same bytes again, bands that are short of pairs are told, another seed is another sample.
bands="--bands 0.3,0.5,0.7,0.9,1 --per-band 200"
# shellcheck disable=SC2086
"$FEATFLOW" pairs run $bands --out pairs >pairs.txt || fail pairs
grep -q '^0.9-1: .* fewer than the 200 asked for' pairs.txt || fail "no word of a short band: $(cat pairs.txt)"
# shellcheck disable=SC2086
"$FEATFLOW" pairs run $bands --out pairs2 >/dev/null && diff -r pairs pairs2 >&2 || fail "two exports differ"
# shellcheck disable=SC2086
"$FEATFLOW" pairs run $bands --out pairs3 --seed 99 --edge Base--Lua >/dev/null || fail "pairs --edge"
cut -d , -f 2 pairs3/key.csv | sort -u | paste -sd ' ' | grep -qx 'Base--Lua edge' || fail "pairs of other edges"
awk -F , 'NR > 1 { split($3, b, "-"); if ($6 < b[1] || $6 > b[2]) exit 1 }' pairs/key.csv || fail "a pair outside its band"
[ "$(wc -l <pairs/pairs.jsonl)" = $(($(wc -l <pairs/key.csv) - 1)) ] || fail "pairs without a key"
refused "did you mean 'Base--Lua'" "$FEATFLOW" pairs run --edge Base--Lau --out x
refused "threshold 0.1 asked for" "$FEATFLOW" pairs run --bands 0.1,1 --out x
mv run/matching/Base--Lua unmatched
refused "stage matching/Base--Lua is missing" "$FEATFLOW" pairs run --out x
mv unmatched run/matching/Base--Lua
awk -F , 'NR == 1 { print "id,rating,note" } NR > 1 { print $1 ",same," }' pairs/key.csv >ratings.csv
"$FEATFLOW" pairs --score ratings.csv --key pairs/key.csv | grep -q '100.0% (' || fail "pairs --score"
refused "is not in the key" "$FEATFLOW" pairs --score ratings.csv --key pairs3/key.csv

# Exports: every feature that is ever active, in batches; whole contexts of the text with what is active there.
"$FEATFLOW" export run --format neuronpedia --out neuronpedia --json >export.json || fail "export to Neuronpedia"
[ "$(grep -c '"source": "0-featflow"' export.json)" = 4 ] || fail "not four models: $(cat export.json)"
[ -s neuronpedia/Merged/batch-0000.json ] || fail "no batch of Merged"
node -e '
  const fs = require("fs"), folder = "neuronpedia/Lua/";
  const features = fs.readdirSync(folder).flatMap(f => JSON.parse(fs.readFileSync(folder + f)).features);
  const ok = features.length > 0 && features.every(f => f.density > 0 && f.density <= 1 &&
    f.topLogits.length === 20 && f.topLogits.every((l, i, all) => !i || l.value <= all[i - 1].value) &&
    f.bottomLogits[0].value <= f.topLogits[19].value && f.activations.length > 0 &&
    f.activations.every(a => a.tokens.length === a.values.length && a.values.some(v => v > 0)));
  process.exit(ok ? 0 : 1);' || fail "the batches of Lua are not what Neuronpedia takes"
"$FEATFLOW" export run --format delphi --model Lua --context 32 --splits 3 --out delphi >export.txt || fail "export to delphi"
grep -q ' contexts of 32 tokens, 3 files' export.txt || fail "no word of the contexts: $(cat export.txt)"
find delphi/Lua/blocks.0.mlp.hook_post -name '*_*.safetensors' | wc -l | grep -qx 3 || fail "not three splits"
grep -q "\"model_name\": \"$work/run/model/Lua\"" delphi/Lua/blocks.0.mlp.hook_post/config.json ||
  fail "delphi would not find the tokenizer"
refused "exists already" "$FEATFLOW" export run --format delphi --out delphi
refused "did you mean 'Stories'" "$FEATFLOW" export run --format delphi --model Stores --out x
refused "expected one --model" "$FEATFLOW" export run --format neuronpedia --model-id mine --out x
refused "expected at most 511" "$FEATFLOW" export run --format neuronpedia --context 600 --out x
refused "has no context of 65536" "$FEATFLOW" export run --format delphi --context 65536 --out x
# Commands that ask for results train nothing.
mv run/autoencoder/Lua trained
refused "autoencoder/Lua is not ready (not built yet), and this command trains nothing" "$FEATFLOW" flow run
refused "trains nothing" "$FEATFLOW" explain run --hypothesis e --no-causal
[ ! -e run/autoencoder/Lua ] || fail "an autoencoder was trained"
mv trained run/autoencoder/Lua
begun=$(grep '"threads"' run/provenance.json)
"$FEATFLOW" flow run --threads 1 >/dev/null 2>&1 || fail "flow on one thread"
[[ $(grep '"threads"' run/provenance.json) == "$begun" ]] || fail "provenance.json forgets how the run was begun"
mv run/activations/Lua unencoded
refused "stage activations/Lua is missing; featflow run STUDY.toml --out run --until activations" \
  "$FEATFLOW" export run --format delphi --model Lua --out y
mv unencoded run/activations/Lua
mv run/explanations explained
mkdir -p run/explanations/Lua
echo '{"features": [{"feature": 99999, "text": "no such feature"}]}' >run/explanations/Lua/explanations.json
# Nobody knows of which features these are; then they are said to be of the present ones.
"$FEATFLOW" export run --format neuronpedia --model Lua --out unknown >/dev/null || fail "explanations of unknown features"
cp explained/Lua/artifact.json run/explanations/Lua
refused "feature 99999, but the model has" "$FEATFLOW" export run --format neuronpedia --model Lua --out z
rm -r run/explanations
mv explained run/explanations

# The local server: the report, what a text activates in each model, and an end by Ctrl-C.
"$FEATFLOW" serve run --port 0 >serve.txt 2>serve.err &
server=$!
for _ in $(seq 300); do
  grep -q '^http' serve.txt && break
  sleep 0.2
done
url=$(head -n 1 serve.txt)
node -e '
  const url = process.argv[1], fs = require("fs");
  const post = (body, type) => fetch(url + "api/annotate", {method: "POST", body, headers: {"Content-Type": type}});
  (async () => {
    const page = await (await fetch(url)).text();
    const file = fs.readFileSync("run/report/report/report.html", "utf8");
    if (page === file || page.replace(/\n<meta name="featflow-served"[^>]*>| connect-src .self.;/g, "") !== file) throw "another page";
    const answer = await (await post(JSON.stringify({text: "local x = nil"}), "application/json")).json();
    if (answer.models.map(m => m.model).join() !== "Base,Lua,Stories,Merged") throw JSON.stringify(answer);
    for (const {tokens} of answer.models) {
      if (tokens.map(t => t.text).join("").trim() !== "local x = nil") throw JSON.stringify(tokens);
      if (!tokens.some(t => t.features.length && t.features[0][1] > 0)) throw "nothing is active";
    }
    const ask = async (path) => (await fetch(url + path)).json();
    const {matches} = await ask("api/matches/Lua/0");
    if (!Array.isArray(matches)) throw "no matches";
    for (const {model, feature, r} of matches.slice(0, 2)) {
      const {rows, points} = await ask(`api/paired/Lua/0/${model}/${feature}`);
      if (!(r >= 0.3 && rows >= points.length && points.every(([a, b]) => a > 0 || b > 0))) throw `pair ${model} ${feature}`;
    }
    for (const wrong of ["api/matches/Lua/999999", "api/paired/Lua/0/Lua/999999", "api/paired/Lua/0/..%2F..%2Fx/1"]) {
      const {error} = await ask(wrong);
      if (!error) throw `${wrong} was answered`;
    }
    if ((await post("{}", "application/json")).status !== 400) throw "a request without a text was taken";
  })().catch(error => { console.error(error); process.exit(1); });' "$url" || fail "the server: $(cat serve.err)"
refused "cannot listen there" "$FEATFLOW" serve run --port "$(tr -dc 0-9 <<<"${url##*:}")"
kill -INT "$server"
wait "$server" || fail "the server ended with $?"

# Figures of the same run, each of them well-formed.
"$SOURCE/scripts/figures" run figures >figures.txt || fail figures
for figure in merge-Merged flow shares correlations autoencoders training; do
  [ -s "figures/$figure.svg" ] || fail "no figure $figure: $(cat figures.txt)"
done
node "$SOURCE/tests/end_to_end/check_svg.mjs" figures/*.svg || fail "a figure is not well-formed"
echo "1 passed, 0 failed"
