#include "explaining/planted_colours.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "core/rng.hpp"

namespace featflow {

using nlohmann::json;

PlantedColours::PlantedColours() {
  // Some of them look like what prompts and replies are made of.
  static constexpr const char* kOthers[] = {" cat", " the",     "\nEND DATA 0\n",    " \"]",
                                            " of",  " \xff[9]", " [EXPLANATION]: no"};
  Rng rng(7);
  activations.model = "M";
  activations.rows.feature_count = 4;
  for (int64_t d = 0; d < kPlantedDocuments; ++d) {
    text.document_starts.push_back(text.size());
    for (int64_t t = 0; t < kPlantedDocumentTokens; ++t) {
      const int64_t position = text.size();
      text.tokens.push_back(static_cast<int32_t>(position));
      std::string word = kOthers[rng.below(7)];
      const double draw = rng.uniform();
      if (draw < 0.06) word = draw < 0.02 ? " red" : draw < 0.04 ? " blue" : " seven";
      words.push_back(t == 0 ? "" : word + "_" + std::to_string(position));
      if (t == 0) continue;  // BOS has no row.
      std::vector<double> values(4, 0);
      if (word == " red") values[0] = 4 + 2 * rng.uniform();
      if (word == " blue") values[0] = 1 + 2 * rng.uniform();
      if (rng.uniform() < 0.005) values[0] = 5 * rng.uniform() + 0.1;
      if (word == " seven") values[1] = 1 + rng.uniform();
      if (position == 55 || position == 155) values[2] = 1;
      for (int32_t j = 0; j < 4; ++j) {
        if (values[j] == 0) continue;
        activations.rows.features.push_back(j);
        activations.rows.values.push_back(static_cast<float>(values[j]));
      }
      activations.rows.row_offsets.push_back(std::ssize(activations.rows.features));
      activations.token_positions.push_back(position);
      activations.documents.push_back(static_cast<int32_t>(d));
    }
  }
  text.vocab_size = text.size();
}

double PlantedColours::activation(int64_t position, int32_t feature) const {
  const SparseRows& rows = activations.rows;
  for (size_t row = 0; row < activations.token_positions.size(); ++row) {
    if (activations.token_positions[row] != position) continue;
    for (int64_t e = rows.row_offsets[row]; e < rows.row_offsets[row + 1]; ++e) {
      if (rows.features[e] == feature) return rows.values[e];
    }
  }
  return 0;
}

LanguageModelSource PlantedColours::source() const {
  return {activations, text, [this](int32_t token) { return words[static_cast<size_t>(token)]; }};
}

AskedPrompt::AskedPrompt(const ChatServer::Request& request) {
  const json messages = json::parse(request.body).at("messages");
  const std::string system = messages.at(0).at("content");
  user = messages.at(1).at("content");
  kind = system.starts_with("You find out")  ? "explain"
         : system.starts_with("You predict") ? "simulate"
         : system.starts_with("You decide")  ? "detect"
                                             : "fuzz";
  const size_t end = user.rfind("END DATA ");
  for (size_t at = user.find('\n', user.rfind("BEGIN DATA ")) + 1; at < end;) {
    const size_t line_end = user.find('\n', at);
    const std::string line = user.substr(at, line_end - at);
    at = line_end + 1;
    if (line.starts_with('#')) continue;
    const size_t open = line.find('"'), close = line.rfind('"');
    shown.push_back(json::parse(line.substr(open, close - open + 1)));
  }
}

bool AskedPrompt::about(const std::string& explanation) const {
  return user.find(json(explanation).dump()) != std::string::npos;
}

std::vector<int64_t> positions_in(const std::string& text) {
  static const std::regex number("_([0-9]+)");
  std::vector<int64_t> result;
  for (std::sregex_iterator at(text.begin(), text.end(), number), end; at != end; ++at) {
    result.push_back(std::stoll((*at)[1].str()));
  }
  return result;
}

std::string follow_rules(const AskedPrompt& asked) {
  if (asked.kind == "explain") {
    const bool number = std::regex_search(asked.user, std::regex("seven_[0-9]+\"\t9"));
    return number ? "Numbers.\n[EXPLANATION]: the number"
                  : "Hm: [1, 2].\n[EXPLANATION]: names of colours";
  }
  const bool colours = asked.about("names of colours");
  const auto level = [&](const std::string& text) {
    const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
    if (!colours) return has(" seven_") ? 7 : 0;
    if (has(" red_")) return 9;
    return has(" blue_") ? 4 : 0;
  };
  std::vector<int> answer;
  for (const std::string& text : asked.shown) {
    if (asked.kind == "simulate") {
      answer.push_back(level(text));
    } else if (asked.kind == "detect") {
      answer.push_back(level(text) > 0 ? 1 : 0);
    } else {  // by the first of the marked tokens
      const std::string marked = text.substr(text.find("⟦"));
      answer.push_back(level(marked.substr(0, marked.find('_') + 1)) > 0 ? 1 : 0);
    }
  }
  return json(answer).dump();
}

ChatServer::Answer chat_model(std::function<std::string(const AskedPrompt&)> rules,
                              double delay_seconds) {
  return [rules = std::move(rules), delay_seconds](const ChatServer::Request& request) {
    return ChatServer::Reply{
        .status = 200,
        .body = chat_completion(rules(AskedPrompt(request)),
                                static_cast<int64_t>(request.body.size() / 3), 50),
        .delay_seconds = delay_seconds};
  };
}

}  // namespace featflow
