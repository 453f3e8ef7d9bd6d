#include "explaining/rule.hpp"

#include <fmt/format.h>

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

// Pairs by what more of them share: "`n` or `x` after `\\`", "`o` after `J` or `T`".
std::string listed_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<std::pair<std::string, std::vector<std::string>>> by_token, by_previous;
  const auto add = [](auto& groups, const std::string& shared, const std::string& own) {
    auto group = std::ranges::find(groups, shared, [](const auto& g) { return g.first; });
    if (group == groups.end()) group = groups.insert(group, {shared, {}});
    group->second.push_back(own);
  };
  for (const auto& [token, previous] : pairs) {
    add(by_token, token, previous);
    add(by_previous, previous, token);
  }
  const bool token_shared = by_token.size() < by_previous.size();
  std::string out;
  for (const auto& [shared, own] : token_shared ? by_token : by_previous) {
    out += out.empty() ? "" : "; ";
    out += token_shared ? shared + " after " + listed(own) : listed(own) + " after " + shared;
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
      } else if (c == '\r') {
        shown += "\\r";
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        shown += fmt::format("\\x{:02x}", static_cast<int>(c));
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
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const RuleGroup& group : rule.groups) {
    if (rule.key == RuleKey::kToken) tokens.push_back(quoted(group.token));
    if (rule.key == RuleKey::kPrevious) tokens.push_back(after(group.previous));
    if (rule.key == RuleKey::kPair) {
      pairs.emplace_back(quoted(group.token), after(group.previous));
    }
  }
  // The class of the token, what comes before it, where it stands.
  std::string subject, before, place;
  const auto join = [](std::string& part, const char* with, const std::string& phrase) {
    part += (part.empty() ? "" : with) + phrase;
  };
  if (rule.key == RuleKey::kToken) subject = listed(tokens);
  if (rule.key == RuleKey::kPair) subject = listed_pairs(pairs);
  if (rule.key == RuleKey::kPrevious) before = "after " + listed(tokens);
  for (const int64_t index : rule.attributes) {
    const Attribute& attribute = text.attributes[static_cast<size_t>(index)];
    switch (attribute.kind) {
      case AttributeKind::kToken:
        join(subject, " that is ", attribute.phrase);
        break;
      case AttributeKind::kPrevious:
        join(before, " and ", attribute.phrase);
        break;
      case AttributeKind::kPlace:
        join(place, ", ", attribute.phrase);
        break;
    }
  }
  if (subject.empty()) subject = "any token";
  if (!before.empty()) subject += " " + before;
  if (!place.empty()) subject += (before.empty() ? " " : ", ") + place;
  return subject;
}

}  // namespace featflow
