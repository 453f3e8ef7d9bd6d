#include "core/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

#include "core/error.hpp"
#include "core/progress.hpp"

namespace featflow {
namespace {

struct Loggers {
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> terminal;
  spdlog::logger logger;
  LogLevel level = LogLevel::kNormal;

  Loggers()
      : terminal(std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
            std::getenv("NO_COLOR") ? spdlog::color_mode::never : spdlog::color_mode::automatic)),
        logger("featflow", terminal) {
    // Plain lines for information; warnings and errors carry their name.
    auto formatter = std::make_unique<spdlog::pattern_formatter>("%v");
    terminal->set_formatter(std::move(formatter));
    logger.set_level(spdlog::level::debug);
    terminal->set_level(spdlog::level::info);
    logger.flush_on(spdlog::level::info);
  }
};

Loggers& loggers() {
  static Loggers instance;
  return instance;
}

void write(spdlog::level::level_enum level, const std::string& message) {
  clear_progress_line();
  loggers().logger.log(level, "{}", message);
}

}  // namespace

void set_log_level(LogLevel level) {
  loggers().level = level;
  loggers().terminal->set_level(level == LogLevel::kQuiet     ? spdlog::level::warn
                                : level == LogLevel::kVerbose ? spdlog::level::debug
                                                              : spdlog::level::info);
}
LogLevel log_level() { return loggers().level; }

void set_log_file(const std::filesystem::path& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    file->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S %v"));
    auto& sinks = loggers().logger.sinks();
    sinks.resize(1);
    sinks.push_back(file);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(path.string() + ": the log file cannot be opened: " + error.what());
  }
}

void log_verbose(const std::string& message) { write(spdlog::level::debug, message); }
void log_info(const std::string& message) { write(spdlog::level::info, message); }
void log_warning(const std::string& message) { write(spdlog::level::warn, "warning: " + message); }
void log_error(const std::string& message) { write(spdlog::level::err, "error: " + message); }

}  // namespace featflow
