#!/usr/bin/env bash
# Completion by the shells and the manual page: every command and option of --help is in them.
source "$SOURCE/tests/end_to_end/library.sh"
cd "$work"

# Commands as --help lists them: names at the beginning of the lines behind "Subcommands:".
commands_of() { "$FEATFLOW" "$@" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'; }
options_of() { "$FEATFLOW" "$@" --help | grep -o -E '^ +(-[a-z],)?--[a-z0-9-]+' | grep -o -E -- '--[a-z0-9-]+'; }

for shell in bash zsh fish; do
  "$FEATFLOW" completion "$shell" >"completion.$shell" || fail "no completion of $shell"
done
"$FEATFLOW" man >featflow.1 || fail "no manual page"
"$FEATFLOW" completion tcsh 2>/dev/null && fail "a shell that is not known was taken"

[ "$(commands_of | wc -l)" -ge 20 ] || fail "--help lists too few commands: $(commands_of)"
leaves=()
for command in $(commands_of); do
  below=$(commands_of "$command")
  [ -n "$below" ] || leaves+=("$command")
  for leaf in $below; do leaves+=("$command $leaf"); done
done

# Runs the completion of a line whose words are the arguments, the last of them half typed.
source ./completion.bash
completed() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _featflow
  printf '%s\n' "${COMPREPLY[@]}" | sort | paste -s -d ,
}
expect() { # expected words, then the line
  local expected=$1
  shift
  [ "$(completed "$@")" = "$expected" ] || fail "'$*' completes to '$(completed "$@")', not '$expected'"
}
[ "$(complete -p featflow)" = "complete -F _featflow featflow" ] || fail "bash does not know it"
expect "$(commands_of | sort | paste -s -d ,)" featflow ''
expect explain,export featflow exp
expect eval,train featflow sae ''
expect train featflow sae tr
expect delphi,neuronpedia featflow export run --format ''
expect neuronpedia featflow export run --format = neu
expect bash,fish,zsh featflow completion ''
expect accuracy,gain featflow sweep a b --balance ''
expect --source-set,--splits featflow export --s
expect --expansion featflow sae train --expan
expect '' featflow export --splits ''
touch study.toml 'a study.toml'
mkdir folder
expect 'a study.toml' featflow run a
expect folder featflow export run --out fol
expect folder featflow status fol
for command in "${leaves[@]}"; do
  path=/${command/ //} name=_featflow_${command/ /_}
  fish_lines=$(grep -F -- "__featflow_at '$path'\"" completion.fish) || fail "fish does not know $command"
  zsh_lines=$(sed -n "/^${name//-/_}()/,/^}/p" completion.zsh)
  # shellcheck disable=SC2086
  for option in $(options_of $command); do
    case ",$(completed featflow $command "$option")," in
      *",$option,"*) ;;
      *) fail "bash does not complete $command $option" ;;
    esac
    grep -q -E -- " -l ${option#--}( |$)" <<<"$fish_lines" || fail "fish does not complete $command $option"
    grep -q -E -- "'\*?$option(=|\[)" <<<"$zsh_lines" || fail "zsh does not complete $command $option"
  done
  grep -q -E "^\.SS featflow $command( |$)" featflow.1 || fail "the manual page lacks $command"
done
if command -v zsh >/dev/null; then zsh -n completion.zsh || fail "zsh cannot read it"; fi
if command -v fish >/dev/null; then
  fish --no-execute completion.fish || fail "fish cannot read it"
  given=$(fish -c 'source completion.fish; complete -C "featflow export run --format "' | cut -f 1 | sort | paste -s -d ,)
  [ "$given" = delphi,neuronpedia ] || fail "fish completes --format to '$given'"
  given=$(fish -c 'source completion.fish; complete -C "featflow sae "' | cut -f 1 | sort | paste -s -d ,)
  [ "$given" = eval,train ] || fail "fish completes sae to '$given'"
fi

# The page is troff without a warning, and says what it should.
if command -v man >/dev/null; then
  LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z featflow.1 2>warnings.txt >/dev/null ||
    fail "man refuses the page: $(cat warnings.txt)"
  [ ! -s warnings.txt ] || fail "man warns: $(head -n 3 warnings.txt)"
fi
if command -v groff >/dev/null; then
  groff -man -ww -b -z featflow.1 2>warnings.txt || fail "groff refuses the page"
  [ ! -s warnings.txt ] || fail "groff warns: $(head -n 3 warnings.txt)"
  groff -man -Tutf8 -P-c -P-b -P-u featflow.1 >page.txt
  grep -q 'featflow export run' page.txt || fail "the page does not show export"
  grep -q 'EXIT STATUS' page.txt || fail "the page has no exit status"
fi
