#include <fmt/format.h>

#include <cstdlib>
#include <exception>

#include "cli/command.hpp"
#include "cli/command_tree.hpp"
#include "cli/version.hpp"
#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/instruction_set.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/process.hpp"
#include "model/model.hpp"

namespace {

using featflow::CommonOptions;

constexpr int kUserError = 1, kUsageError = 2, kInternalError = 70, kInterrupted = 130;

// The order of --help: a whole study first, then its stages.
using AddCommand = void (*)(CLI::App&, CommonOptions&);
constexpr AddCommand kCommands[] = {
    featflow::add_run,     featflow::add_status,      featflow::add_clean,  featflow::add_doctor,
    featflow::add_corpus,  featflow::add_tokenizer,   featflow::add_train,  featflow::add_eval,
    featflow::add_forward, featflow::add_generate,    featflow::add_merge,  featflow::add_sweep,
    featflow::add_sae,     featflow::add_activations, featflow::add_match,  featflow::add_flow,
    featflow::add_explain, featflow::add_pairs,       featflow::add_export, featflow::add_report,
    featflow::add_serve,   featflow::add_completion,  featflow::add_man,
};

std::string version_text() {
  return fmt::format("featflow {}\nBLAS {}\nLibTorch {}", featflow::version(),
                     featflow::blas_info().config, featflow::torch_version());
}

int run(int argc, char** argv) {
  CLI::App app{
      "FeatFlow shows what happens to the features inside a language model when it is\n"
      "fine-tuned and when fine-tunes are merged.",
      "featflow"};
  app.footer(
      "Start here:\n  featflow run studies/quick.toml\n\n"
      "featflow COMMAND --help tells more about a command.");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text, "Version, git revision, BLAS and LibTorch");
  CommonOptions common;
  for (const AddCommand add : kCommands) add(app, common);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::string unknown =
        featflow::unknown_word(featflow::command_tree(app), {argv + 1, argv + argc});
    if (unknown.empty()) {
      app.exit(error);
    } else {
      featflow::log_error(unknown);
    }
    return kUsageError;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  featflow::tune_allocator();
  featflow::install_interrupt_handler();
  try {
    featflow::instruction_set();  // a wrong FEATFLOW_CPU is an error at once
    return run(argc, argv);
  } catch (const featflow::Interrupted&) {
    featflow::log_error(
        "interrupted; called again, the command goes on where its stages and checkpoints ended");
    return kInterrupted;
  } catch (const featflow::Error& error) {
    featflow::log_error(error.what());
    return kUserError;
  } catch (const std::filesystem::filesystem_error& error) {
    featflow::log_error(error.what());
    return kUserError;
  } catch (const std::bad_alloc&) {
    featflow::log_error("out of memory; smaller sizes in the study, or --threads 1, need less");
    return kUserError;
  } catch (const std::exception& error) {
    featflow::log_error(fmt::format("a bug in FeatFlow, please report it: {}", error.what()));
    return kInternalError;
  }
}
