#include "explaining/language_model_explanations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/progress.hpp"
#include "explaining/language_model_prompts.hpp"
#include "explaining/simulation.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

// In place of an explanation that is not known yet, for estimates.
constexpr size_t kUsualExplanation = 160;
// Tokens of the reply that ends with it.
constexpr int64_t kUsualExplanationReply = 160;

/// Texts of one prompt, and whether the feature is on in them (or the marks are right).
struct Questions {
  std::vector<std::string> texts;
  std::vector<uint8_t> truth;
};

/// Everything one feature is asked about but for the prompts that need its explanation.
struct FeatureQuestions {
  ChatPrompt explain;
  int64_t explained = 0;             ///< Excerpts in it.
  std::vector<TokenTexts> simulate;  ///< Tokens of each excerpt.
  std::vector<std::vector<double>> actual;
  std::vector<Questions> detect, fuzz;
};

class QuestionMaker {
 public:
  QuestionMaker(const LanguageModelSource& source, const LanguageModelExamples& examples,
                const LanguageModelExplainOptions& options)
      : source_(source), examples_(examples), options_(options) {}

  FeatureQuestions make(int32_t feature) const {
    const FeatureSample sample = examples_.sample(feature, options_.seed);
    FeatureQuestions questions;
    std::vector<ShownGroup> groups = {{"strongest", shown(sample.top, sample.maximum)}};
    const size_t intervals = sample.intervals.size();
    for (size_t i = 0; i < intervals; ++i) {
      groups.push_back({fmt::format("interval {} of {} of the active tokens, {} is the strongest",
                                    intervals - i, intervals, intervals),
                        shown(sample.intervals[i], sample.maximum)});
    }
    groups.push_back({"random", shown(sample.random, sample.maximum)});
    for (const ShownGroup& group : groups) questions.explained += std::ssize(group.excerpts);
    questions.explain = explanation_prompt(groups);

    if (options_.simulate) {
      for (const Excerpt& excerpt : sample.simulate) {
        questions.simulate.push_back(texts(excerpt));
        questions.actual.emplace_back(excerpt.activations.begin(), excerpt.activations.end());
      }
    }
    Rng rng(options_.seed, fmt::format("questions for a language model/{}", feature));
    if (options_.detect) {
      std::vector<std::pair<std::string, uint8_t>> items;
      for (const Excerpt& excerpt : sample.active) items.emplace_back(joined(excerpt), 1);
      for (const Excerpt& excerpt : sample.inactive) items.emplace_back(joined(excerpt), 0);
      questions.detect = batches(std::move(items), rng);
    }
    if (options_.fuzz) questions.fuzz = batches(marked(sample, rng), rng);
    return questions;
  }

 private:
  TokenTexts texts(const Excerpt& excerpt) const {
    TokenTexts result;
    for (const int32_t token : excerpt.tokens) result.push_back(source_.token_bytes(token));
    return result;
  }

  std::string joined(const Excerpt& excerpt) const {
    std::string text;
    for (const std::string& token : texts(excerpt)) text += token;
    return text;
  }

  std::vector<ShownExcerpt> shown(const std::vector<Excerpt>& excerpts, float maximum) const {
    std::vector<ShownExcerpt> result;
    for (const Excerpt& excerpt : excerpts) {
      ShownExcerpt& to = result.emplace_back();
      to.tokens = texts(excerpt);
      for (const float value : excerpt.activations) {
        to.levels.push_back(quantised_activation(value, maximum));
      }
    }
    return result;
  }

  // As delphi does: tokens above 0.3 of their text's maximum are marked; in texts where the feature
  // is off, as many at random as are marked in the others on average.
  std::vector<std::pair<std::string, uint8_t>> marked(const FeatureSample& sample, Rng& rng) const {
    std::vector<std::pair<std::string, uint8_t>> items;
    int64_t marks = 0;
    for (const Excerpt& excerpt : sample.active) {
      const float limit = 0.3F * std::ranges::max(excerpt.activations);
      std::vector<uint8_t> mark;
      for (const float value : excerpt.activations) mark.push_back(value > limit ? 1 : 0);
      marks += std::ranges::count(mark, 1);
      items.emplace_back(marked_text(texts(excerpt), mark), 1);
    }
    if (items.empty()) return items;
    const int64_t usual = (marks + std::ssize(items) - 1) / std::ssize(items);
    for (const Excerpt& excerpt : sample.inactive) {
      std::vector<uint8_t> mark(excerpt.tokens.size(), 0);
      for (int64_t i = 0; i < std::min<int64_t>(usual, std::ssize(mark)); ++i) mark[i] = 1;
      rng.shuffle(mark);
      items.emplace_back(marked_text(texts(excerpt), mark), 0);
    }
    return items;
  }

  std::vector<Questions> batches(std::vector<std::pair<std::string, uint8_t>> items,
                                 Rng& rng) const {
    rng.shuffle(items);
    std::vector<Questions> result;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i % static_cast<size_t>(options_.texts_per_prompt) == 0) result.emplace_back();
      result.back().texts.push_back(std::move(items[i].first));
      result.back().truth.push_back(items[i].second);
    }
    return result;
  }

  const LanguageModelSource& source_;
  const LanguageModelExamples& examples_;
  const LanguageModelExplainOptions& options_;
};

/// One feature from its first prompt to its scores.
class FeatureWork {
 public:
  explicit FeatureWork(FeatureQuestions questions, int32_t feature)
      : questions_(std::move(questions)) {
    result_.feature = feature;
    result_.examples.explained = questions_.explained;
  }

  const ChatPrompt& first() const { return questions_.explain; }

  /// The prompts that the explanation is scored by; none if there is no explanation.
  std::vector<ChatPrompt> rest(const ChatAnswer& first) {
    if (const std::string* reply = text_of(first, result_.failures.explanation)) {
      result_.explanation = parse_explanation(*reply);
      if (!result_.explanation) {
        malformed(result_.failures.explanation, "no line [EXPLANATION]: in", *reply);
      }
    }
    std::vector<ChatPrompt> prompts;
    if (!result_.explanation) return prompts;
    for (const TokenTexts& tokens : questions_.simulate) {
      prompts.push_back(simulation_prompt(*result_.explanation, tokens));
    }
    for (const Questions& batch : questions_.detect) {
      prompts.push_back(detection_prompt(*result_.explanation, batch.texts));
    }
    for (const Questions& batch : questions_.fuzz) {
      prompts.push_back(fuzzing_prompt(*result_.explanation, batch.texts));
    }
    return prompts;
  }

  /// `answers` to the prompts of rest(), in their order.
  const LanguageModelExplanation& score(std::span<const ChatAnswer> answers) {
    if (!result_.explanation) return result_;
    const size_t simulated = questions_.simulate.size(), detected = questions_.detect.size();
    score_simulation(answers.first(simulated));
    result_.detection = score_answers(questions_.detect, answers.subspan(simulated, detected),
                                      result_.failures.detection, result_.examples.detected);
    result_.fuzzing = score_answers(questions_.fuzz, answers.subspan(simulated + detected),
                                    result_.failures.fuzzing, result_.examples.fuzzed);
    return result_;
  }

  int64_t malformed_replies() const { return malformed_; }

 private:
  const std::string* text_of(const ChatAnswer& answer, int64_t& failures) {
    if (answer.text) return &*answer.text;
    ++failures;
    ++result_.failures.requests;
    if (result_.first_problem.empty()) result_.first_problem = answer.problem;
    return nullptr;
  }

  void malformed(int64_t& failures, std::string_view what, const std::string& reply) {
    ++failures;
    ++malformed_;
    if (result_.first_problem.empty()) {
      result_.first_problem = fmt::format("{} the reply {}", what, in_quotes(reply, 120));
    }
  }

  void score_simulation(std::span<const ChatAnswer> answers) {
    std::vector<double> simulated, actual;
    for (size_t i = 0; i < answers.size(); ++i) {
      const std::string* reply = text_of(answers[i], result_.failures.simulation);
      if (reply == nullptr) continue;
      const int64_t count = std::ssize(questions_.simulate[i]);
      const auto levels = parse_integers(*reply, count, 9);
      if (!levels) {
        malformed(result_.failures.simulation,
                  fmt::format("no list of {} integers from 0 to 9 in", count), *reply);
        continue;
      }
      ++result_.examples.simulated;
      simulated.insert(simulated.end(), levels->begin(), levels->end());
      const std::vector<double>& truth = questions_.actual[i];
      actual.insert(actual.end(), truth.begin(), truth.end());
    }
    result_.examples.simulated_tokens = std::ssize(actual);
    result_.simulation_score = simulation_score(simulated, actual);
    result_.simulation_spearman = simulation_spearman(simulated, actual);
  }

  std::optional<double> score_answers(const std::vector<Questions>& batches,
                                      std::span<const ChatAnswer> replies, int64_t& failures,
                                      int64_t& answered) {
    YesNoCounts counts;
    for (size_t b = 0; b < batches.size(); ++b) {
      const std::string* reply = text_of(replies[b], failures);
      if (reply == nullptr) continue;
      const std::vector<uint8_t>& truth = batches[b].truth;
      const auto answers = parse_integers(*reply, std::ssize(truth), 1);
      if (!answers) {
        malformed(failures, fmt::format("no list of {} numbers 0 or 1 in", truth.size()), *reply);
        continue;
      }
      for (size_t i = 0; i < truth.size(); ++i) counts.add((*answers)[i] != 0, truth[i] != 0);
    }
    answered = counts.answers();
    return counts.balanced_accuracy();
  }

  FeatureQuestions questions_;
  LanguageModelExplanation result_;
  int64_t malformed_ = 0;
};

/// The features with enough examples, in the order asked for.
std::vector<int32_t> examined(const LanguageModelExamples& examples,
                              std::span<const int32_t> features,
                              std::vector<SkippedFeature>* skipped) {
  std::vector<int32_t> enough;
  for (const int32_t feature : features) {
    if (examples.enough(feature)) {
      enough.push_back(feature);
    } else if (skipped != nullptr) {
      skipped->push_back({feature, examples.active_tokens(feature)});
    }
  }
  return enough;
}

void check(const LanguageModelExplainOptions& options) {
  if (options.texts_per_prompt < 1 || options.texts_per_prompt > 100) {
    throw Error(fmt::format("{} texts a prompt: expected 1 to 100", options.texts_per_prompt));
  }
}

/// Threads that each send the next prompt: of the first feature that has one, so that a run that is
/// stopped leaves few features half done.
class Workers {
 public:
  Workers(LanguageModelSession& session, const QuestionMaker& maker,
          const std::vector<int32_t>& features)
      : session_(session), maker_(maker), features_(features), results_(features.size()) {}

  void run(int64_t count) {
    Progress progress("explaining", std::ssize(features_), "features");
    std::vector<std::thread> threads;
    if (features_.empty()) return;
    for (int64_t i = 0; i < count; ++i) threads.emplace_back([&] { work(progress); });
    for (std::thread& thread : threads) thread.join();
  }

  const std::vector<std::optional<LanguageModelExplanation>>& results() const { return results_; }
  std::exception_ptr stopped_by() const { return stopped_by_; }
  int64_t malformed() const { return malformed_; }

 private:
  /// A feature that is begun and not done.
  struct Open {
    std::unique_ptr<FeatureWork> work;  // null until its first prompt is made
    std::vector<ChatPrompt> prompts;
    std::vector<ChatAnswer> answers;
    size_t next = 0, answered = 0;
  };

  void work(Progress& progress) {
    try {
      std::unique_lock lock(mutex_);
      while (!stopping_) {
        const auto ready = std::ranges::find_if(open_, [](const auto& entry) {
          return entry.second.next < entry.second.prompts.size();
        });
        if (ready != open_.end()) {
          ask_next(ready->first, ready->second, lock, progress);
        } else if (next_ < features_.size()) {
          const size_t index = next_++;
          begin(index, open_[index], lock, progress);
        } else if (!open_.empty()) {
          changed_.wait(lock);  // for the prompts that an explanation brings
        } else {
          break;
        }
      }
    } catch (...) {
      // The first cause is kept; those who wait for a further attempt give up.
      const std::lock_guard lock(mutex_);
      if (!stopped_by_) stopped_by_ = std::current_exception();
      stopping_ = true;
      session_.abandon();
    }
    changed_.notify_all();
  }

  // Entries of a map stay where they are while others come and go.
  void begin(size_t index, Open& open, std::unique_lock<std::mutex>& lock, Progress& progress) {
    lock.unlock();
    const int32_t feature = features_[index];
    auto work = std::make_unique<FeatureWork>(maker_.make(feature), feature);
    std::vector<ChatPrompt> prompts = work->rest(session_.ask(work->first()));
    lock.lock();
    open.work = std::move(work);
    open.answers.resize(prompts.size());
    open.prompts = std::move(prompts);
    finish_if_answered(index, open, progress);
    changed_.notify_all();
  }

  void ask_next(size_t index, Open& open, std::unique_lock<std::mutex>& lock, Progress& progress) {
    const size_t prompt = open.next++;
    lock.unlock();
    ChatAnswer answer = session_.ask(open.prompts[prompt]);
    lock.lock();
    open.answers[prompt] = std::move(answer);
    ++open.answered;
    finish_if_answered(index, open, progress);
  }

  void finish_if_answered(size_t index, Open& open, Progress& progress) {
    if (open.answered < open.prompts.size()) return;
    results_[index] = open.work->score(open.answers);
    malformed_ += open.work->malformed_replies();
    open_.erase(index);
    progress.update(++done_);
    changed_.notify_all();
  }

  LanguageModelSession& session_;
  const QuestionMaker& maker_;
  const std::vector<int32_t>& features_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::map<size_t, Open> open_;  // by place among the features
  size_t next_ = 0;
  bool stopping_ = false;
  std::vector<std::optional<LanguageModelExplanation>> results_;
  std::exception_ptr stopped_by_;
  int64_t done_ = 0, malformed_ = 0;
};

std::string cause(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const BudgetReached&) {
    return "budget";
  } catch (const Interrupted&) {
    return "interrupted";
  } catch (...) {
    return "error";
  }
}

}  // namespace

LanguageModelEstimate estimate_language_model(const LanguageModelSource& source,
                                              std::span<const int32_t> features,
                                              const LanguageModelExplainOptions& options) {
  check(options);
  const LanguageModelExamples examples(source.activations, source.text, features, options.counts);
  const LanguageModelSession session(options.model);
  const QuestionMaker maker(source, examples, options);
  LanguageModelEstimate estimate;
  std::vector<SkippedFeature> skipped;
  const std::vector<int32_t> enough = examined(examples, features, &skipped);
  estimate.features = std::ssize(enough);
  estimate.skipped = std::ssize(skipped);
  const auto count = [&](const ChatPrompt& prompt, int64_t output) {
    auto reply = session.stored(prompt);
    if (reply) {
      ++estimate.cached;
    } else {
      ++estimate.requests;
      estimate.expected += session.expected(prompt, output + options.model.thinking_tokens);
    }
    return reply;
  };
  for (const int32_t feature : enough) {
    throw_if_interrupted();
    const FeatureQuestions questions = maker.make(feature);
    std::string explanation(kUsualExplanation, 'x');
    if (const auto reply = count(questions.explain, kUsualExplanationReply)) {
      const auto parsed = parse_explanation(*reply);
      if (!parsed) continue;
      explanation = *parsed;
    }
    for (const TokenTexts& tokens : questions.simulate) {
      count(simulation_prompt(explanation, tokens), 2 * std::ssize(tokens) + 1);
    }
    for (const Questions& batch : questions.detect) {
      count(detection_prompt(explanation, batch.texts), 2 * std::ssize(batch.texts) + 1);
    }
    for (const Questions& batch : questions.fuzz) {
      count(fuzzing_prompt(explanation, batch.texts), 2 * std::ssize(batch.texts) + 1);
    }
  }
  estimate.cost = session.prices().cost(estimate.expected);
  return estimate;
}

LanguageModelExplanations explain_by_language_model(const LanguageModelSource& source,
                                                    std::span<const int32_t> features,
                                                    const LanguageModelExplainOptions& options) {
  check(options);
  const LanguageModelExamples examples(source.activations, source.text, features, options.counts);
  LanguageModelSession session(options.model);
  const QuestionMaker maker(source, examples, options);
  LanguageModelExplanations result;
  result.model = source.activations.model;
  result.autoencoder = source.activations.autoencoder;
  result.corpus = source.activations.corpus;
  result.fingerprint = source.fingerprint;
  result.asked = std::ssize(features);
  const std::vector<int32_t> enough = examined(examples, features, &result.skipped);

  Workers workers(session, maker, enough);
  workers.run(options.model.endpoint.concurrency);
  for (const auto& explanation : workers.results()) {
    if (explanation) result.features.push_back(*explanation);
  }
  result.stopped = cause(workers.stopped_by());
  result.totals = session.totals();
  result.malformed = workers.malformed() + result.totals.malformed;
  result.cost = session.prices().cost(result.totals.used);
  result.cost_of_all = session.prices().cost(result.totals.used_by_all);
  if (!options.out.empty()) {
    const std::string earlier =
        std::filesystem::exists(options.out) ? read_file(options.out) : std::string();
    const std::string json = language_model_explanations_json(result, options, earlier);
    if (json.empty()) {
      log_warning(fmt::format("{} stays: it is of other settings, and this run was stopped",
                              options.out.string()));
    } else {
      write_file_atomic(options.out, json);
    }
  }
  if (result.stopped == "budget") {
    log_warning(
        fmt::format("the budget is used up: {} of {} features are explained; the replies so far "
                    "are kept, and a run with a further budget goes on from them",
                    result.features.size(), enough.size()));
  } else if (!result.stopped.empty()) {
    log_warning(
        fmt::format("{} of {} features are explained; the replies so far are kept, and the "
                    "same command goes on from them",
                    result.features.size(), enough.size()));
    std::rethrow_exception(workers.stopped_by());
  }
  return result;
}

}  // namespace featflow
