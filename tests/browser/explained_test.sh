#!/usr/bin/env bash
# A report with explanations and logit weights, as report_test leaves it, in headless Chromium: explained.test.mjs.
source "$SOURCE/tests/end_to_end/library.sh"
chromium=${CHROMIUM:-$(command -v chromium)} || fail "chromium not found: run scripts/setup --tests"

report_test=$(dirname "$FEATFLOW")/report_test
[ -x "$report_test" ] || fail "$report_test not found: build it first"
FEATFLOW_REPORT=$work/report.html "$report_test" --gtest_filter=Report.IsOneFileThatMayLoadNothing >/dev/null ||
  fail "report_test"

cd "$SOURCE/tests/browser"
if [ node_modules/.package-lock.json -ot package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
REPORT=$work/report.html CHROMIUM=$chromium node --test explained.test.mjs
