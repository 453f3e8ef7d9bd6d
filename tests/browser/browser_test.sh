#!/usr/bin/env bash
# The report of a tiny study, in headless Chromium: report.test.mjs.
source "$SOURCE/tests/end_to_end/library.sh"
chromium=${CHROMIUM:-$(command -v chromium)} || fail "chromium not found: run scripts/setup --tests"

make_family "$work/family"
(cd "$work" && "$FEATFLOW" run family/tiny.toml --out run -q >/dev/null) || fail "the tiny study failed"

cd "$SOURCE/tests/browser"
if [ node_modules/.package-lock.json -ot package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
# make_corpora.awk plants this in the text.
REPORT=$work/run/report/report/report.html CHROMIUM=$chromium NEEDLE='<script>alert(' npm test --silent
