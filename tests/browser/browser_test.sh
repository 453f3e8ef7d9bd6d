#!/usr/bin/env bash
# The report of a tiny study and its pairs to rate, in headless Chromium: report.test.mjs, pairs.test.mjs, and
# served by featflow serve: served.test.mjs.
source "$SOURCE/tests/end_to_end/library.sh"
chromium=${CHROMIUM:-$(command -v chromium)} || fail "chromium not found: run scripts/setup --tests"

make_family "$work/family"
(cd "$work" && "$FEATFLOW" run family/tiny.toml --out run -q >/dev/null) || fail "the tiny study failed"
(cd "$work" && "$FEATFLOW" pairs run --bands 0.3,0.5,0.7,0.9,1 --per-band 12 --context 40 --out pairs >/dev/null) || fail pairs

cd "$SOURCE/tests/browser"
if [ node_modules/.package-lock.json -ot package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
# make_corpora.awk plants this in the text.
REPORT=$work/run/report/report/report.html PAIRS=$work/pairs/pairs.html RATINGS=$work/ratings.csv \
  CHROMIUM=$chromium NEEDLE='<script>alert(' npm test --silent

"$FEATFLOW" serve "$work/run" --port 0 >"$work/serve.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf -- "$work"' EXIT
for _ in $(seq 600); do
  url=$(grep -m 1 '^http://' "$work/serve.log") && break
  kill -0 "$server" || fail "serve: $(cat "$work/serve.log")"
  sleep 0.1
done
URL=$url CHROMIUM=$chromium node --test served.test.mjs

# What the page downloads is what the key's command reads.
"$FEATFLOW" pairs --score "$work/ratings.csv" "$work/ratings.csv" --key "$work/pairs/key.csv" --json |
  grep -q '"kappa": 1.0' || fail "ratings from the page cannot be scored"
