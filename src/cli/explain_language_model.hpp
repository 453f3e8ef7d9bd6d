#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "study/language_model_run.hpp"

namespace featflow {

/// What `featflow explain RUN --language-model` takes beside RUN.
struct LanguageModelFlags {
  bool asked = false;           ///< --language-model
  std::vector<std::string> of;  ///< Models of the family; empty: all.
  std::string budget;
  bool dry_run = false;  ///< Only the estimate.
  bool server_temperature = false;
  LanguageModelRunOptions run;
};

/// Adds the flags; all others need --language-model, which is returned.
CLI::Option* add_language_model_flags(CLI::App& command,
                                      const std::shared_ptr<LanguageModelFlags>& flags);

/// Explains features of each model, those of `features` (MODEL/NUMBER) if any are named: the
/// estimate goes to stderr before anything is sent, the results to stdout. The budget is that of
/// all models together. Throws Error and Interrupted.
void explain_run_by_language_model(const std::string& run, const std::vector<std::string>& features,
                                   const LanguageModelFlags& flags, const CommonOptions& common);

}  // namespace featflow
