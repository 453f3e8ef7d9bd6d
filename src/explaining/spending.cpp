#include "explaining/spending.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>

#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {

TokenUsage& TokenUsage::operator+=(const TokenUsage& other) {
  input += other.input;
  output += other.output;
  return *this;
}

std::optional<double> TokenPrices::cost(const TokenUsage& usage) const {
  if (!input_per_million || !output_per_million) return {};
  return (static_cast<double>(usage.input) * *input_per_million +
          static_cast<double>(usage.output) * *output_per_million) /
         1e6;
}

SpendingLimit parse_spending_limit(std::string_view text) {
  const auto refuse = [&] {
    throw Error(fmt::format("--budget {}: expected dollars such as 2.50, or tokens such as 200000t",
                            in_quotes(text)));
  };
  std::string_view number = text;
  bool tokens = false;
  for (const std::string_view suffix : {" tokens", "tokens", "t"}) {
    if (!number.ends_with(suffix)) continue;
    number.remove_suffix(suffix.size());
    tokens = true;
    break;
  }
  if (!tokens && number.starts_with('$')) number.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (code != std::errc() || end != number.data() + number.size() || !std::isfinite(value) ||
      value <= 0 || value > 1e15) {
    refuse();
  }
  if (tokens) return {.dollars = {}, .tokens = static_cast<int64_t>(value)};
  return {.dollars = value, .tokens = {}};
}

int64_t estimated_tokens(int64_t bytes) { return (bytes + 3) / 4; }

Spending::Spending(TokenPrices prices, SpendingLimit limit) : prices_(prices), limit_(limit) {
  for (const auto& price : {prices.input_per_million, prices.output_per_million}) {
    if (price && !(std::isfinite(*price) && *price >= 0)) {
      throw Error(
          fmt::format("a price of {} per million tokens: expected dollars, at least 0", *price));
    }
  }
  if (limit.dollars && !(std::isfinite(*limit.dollars) && *limit.dollars > 0)) {
    throw Error(fmt::format("a budget of {} dollars: expected more than 0", *limit.dollars));
  }
  if (limit.tokens && *limit.tokens <= 0) {
    throw Error(fmt::format("a budget of {} tokens: expected more than 0", *limit.tokens));
  }
  if (limit.dollars && !prices.cost({})) {
    throw Error(
        "a budget in dollars needs the prices of input and of output tokens; give both, or the "
        "budget in tokens");
  }
}

bool Spending::fits(const TokenUsage& usage) const {
  if (limit_.tokens && usage.total() > *limit_.tokens) return false;
  return !limit_.dollars || *prices_.cost(usage) <= *limit_.dollars;
}

bool Spending::reserve(const TokenUsage& most) {
  std::unique_lock lock(mutex_);
  for (;;) {
    TokenUsage sum = used_;
    sum += reserved_;
    sum += most;
    if (fits(sum)) break;
    if (under_way_ == 0) return false;
    settled_.wait_for(lock, std::chrono::milliseconds(100));
    throw_if_interrupted();
  }
  reserved_ += most;
  ++under_way_;
  return true;
}

void Spending::settle(const TokenUsage& reserved, const TokenUsage& used) {
  {
    const std::lock_guard lock(mutex_);
    reserved_.input -= reserved.input;
    reserved_.output -= reserved.output;
    --under_way_;
    used_ += used;
  }
  settled_.notify_all();
}

TokenUsage Spending::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace featflow
