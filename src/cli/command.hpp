#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace featflow {

/// Flags that every command has.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  int threads = 0;  ///< 0: what affinity and the cgroup's quota allow.

  /// Applies them; called first by every command's callback.
  void apply() const;
  /// --threads, or the default.
  int thread_count() const;
};

/// A sub-command with the common flags and an example at the end of its --help.
CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& example, CommonOptions& common);

/// A flag that a command which writes a folder or file takes: refuses to overwrite without it.
void require_new(const std::string& path, bool force);

/// One JSON document on stdout.
void print_json(const nlohmann::ordered_json& value);

// One function per file; main.cpp has the table that both --help and dispatch come from.
void add_run(CLI::App& app, CommonOptions& common);
void add_status(CLI::App& app, CommonOptions& common);
void add_clean(CLI::App& app, CommonOptions& common);
void add_doctor(CLI::App& app, CommonOptions& common);
void add_corpus(CLI::App& app, CommonOptions& common);
void add_tokenizer(CLI::App& app, CommonOptions& common);
void add_train(CLI::App& app, CommonOptions& common);
void add_eval(CLI::App& app, CommonOptions& common);
void add_forward(CLI::App& app, CommonOptions& common);
void add_generate(CLI::App& app, CommonOptions& common);
void add_merge(CLI::App& app, CommonOptions& common);
void add_sweep(CLI::App& app, CommonOptions& common);
void add_sae(CLI::App& app, CommonOptions& common);
void add_activations(CLI::App& app, CommonOptions& common);
void add_match(CLI::App& app, CommonOptions& common);
void add_flow(CLI::App& app, CommonOptions& common);
void add_explain(CLI::App& app, CommonOptions& common);
void add_pairs(CLI::App& app, CommonOptions& common);
void add_export(CLI::App& app, CommonOptions& common);
void add_report(CLI::App& app, CommonOptions& common);
void add_serve(CLI::App& app, CommonOptions& common);
void add_completion(CLI::App& app, CommonOptions& common);
void add_man(CLI::App& app, CommonOptions& common);

}  // namespace featflow
