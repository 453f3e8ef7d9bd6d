#include "explaining/rule.hpp"

#include <algorithm>

namespace featflow {
namespace {

// "`a`, `b` or `c`"; a line break is shown as its escape.
std::string listed(const std::vector<std::string>& tokens) {
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += i + 1 == tokens.size() ? " or " : ", ";
    out += tokens[i];
  }
  return out;
}

}  // namespace

int64_t group_of(const Rule& rule, const TextAttributes& text, int64_t row) {
  const auto r = static_cast<size_t>(row);
  for (const int64_t attribute : rule.attributes) {
    if ((text.bits[r] >> attribute & 1) == 0) return -1;
  }
  const bool by_token = rule.key == RuleKey::kToken || rule.key == RuleKey::kPair;
  const bool by_previous = rule.key == RuleKey::kPrevious || rule.key == RuleKey::kPair;
  for (size_t g = 0; g < rule.groups.size(); ++g) {
    if (by_token && rule.groups[g].token != text.tokens[r]) continue;
    if (by_previous && rule.groups[g].previous != text.previous[r]) continue;
    return static_cast<int64_t>(g);
  }
  return -1;
}

std::string describe(const Rule& rule, const TextAttributes& text,
                     const std::function<std::string(int32_t)>& token_text) {
  if (rule.groups.empty()) return "no rule found";
  const auto quoted = [&](int32_t id) {
    std::string shown;
    for (const char c : token_text(id)) {
      if (c == '\n') {
        shown += "\\n";
      } else if (c == '\t') {
        shown += "\\t";
      } else {
        shown += c;
      }
    }
    return "`" + shown + "`";
  };
  const auto after = [&](int32_t previous) {
    return previous == text.vocab_size ? std::string("the window's beginning") : quoted(previous);
  };
  std::vector<std::string> tokens;
  for (const RuleGroup& group : rule.groups) {
    if (rule.key == RuleKey::kToken) tokens.push_back(quoted(group.token));
    if (rule.key == RuleKey::kPrevious) tokens.push_back(after(group.previous));
    if (rule.key == RuleKey::kPair) {
      tokens.push_back(quoted(group.token) + " after " + after(group.previous));
    }
  }
  // The class of the token, what comes before it, where it stands.
  std::string subject, before, place;
  for (const int64_t index : rule.attributes) {
    const Attribute& attribute = text.attributes[static_cast<size_t>(index)];
    switch (attribute.kind) {
      case AttributeKind::kToken:
        subject += (subject.empty() ? "" : " that is ") + attribute.phrase;
        break;
      case AttributeKind::kPrevious:
        before += (before.empty() ? " " : " and ") + attribute.phrase;
        break;
      case AttributeKind::kPlace:
        place += (place.empty() && before.empty() ? " " : ", ") + attribute.phrase;
        break;
    }
  }
  if (rule.key == RuleKey::kToken || rule.key == RuleKey::kPair) subject = listed(tokens);
  if (subject.empty()) subject = "any token";
  if (rule.key == RuleKey::kPrevious) before = " after " + listed(tokens);
  return subject + before + place;
}

}  // namespace featflow
