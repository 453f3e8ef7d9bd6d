# Four small made-up corpora with the regularities a model can learn, as JSONL into DIR:
#   awk -v dir=DIR -f make_corpora.awk
# Deterministic: the generator below, never awk's own rand().
function next_random(bound) {
  state = (state * 1103515245 + 12345) % 2147483648
  return int(state / 65536) % bound
}
function pick(list, count) {
  count = split(list, choices, " ")
  return choices[1 + next_random(count)]
}
function noun() { return pick("cat dog bird river stone house tree child king road ship fire night song") }
function verb() { return pick("saw found made took heard left loved wanted followed carried") }
function name() { return pick("count total index value result name size item left right node data") }
function english(  i, text) {
  for (i = 0; i < 12; i++)
    text = text "The " noun() " " verb() " the " noun() (next_random(3) ? "" : ", and the " noun() " was gone") ". "
  return text
}
function python(  i, text, f) {
  f = name()
  text = "def " f "(" name() "):\\n"
  for (i = 0; i < 6; i++)
    text = text "    " name() " = " name() " + " next_random(100) "\\n"
  return text "    try:\\n        return " f "\\n    except ValueError:\\n        pass\\n"
}
function lua(  i, text) {
  text = "local function " name() "(" name() ")\\n"
  for (i = 0; i < 6; i++)
    text = text "  local " name() " = " name() " .. " next_random(100) "\\n"
  return text "  return " name() "\\nend\\n"
}
function story(  i, text, who) {
  who = pick("Tom Lily Ben Mia Sam")
  text = "Once upon a time, " who " had a " noun() ". "
  for (i = 0; i < 8; i++)
    text = text who " " verb() " the " noun() ". \\\"Oh!\\\" said " pick("Tom Lily Ben Mia Sam") ". "
  return text "They were happy."
}
BEGIN {
  state = 1
  for (i = 0; i < 400; i++) {
    print "{\"text\": \"" english() "\"}" > (dir "/english.jsonl")
    print "{\"text\": \"" python() "\"}" > (dir "/python.jsonl")
    print "{\"text\": \"" lua() "\"}" > (dir "/lua.jsonl")
    print "{\"text\": \"" story() "\"}" > (dir "/stories.jsonl")
  }
  # Text that must never become markup in the report.
  for (i = 0; i < 40; i++)
    print "{\"text\": \"<script>alert(" i ")</script> The " noun() " " verb() " the " noun() ".\"}" > (dir "/english.jsonl")
}
