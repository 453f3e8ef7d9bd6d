#pragma once

#include <filesystem>
#include <string>

namespace featflow {

enum class LogLevel { kQuiet, kNormal, kVerbose };

/// Messages for people go to stderr (and to RUN/log.txt once set): results go to stdout, by cli.
/// kQuiet leaves warnings only. Colour only on a terminal and without NO_COLOR.
void set_log_level(LogLevel level);
LogLevel log_level();
/// Also append everything (verbose lines included, with time stamps) to this file.
void set_log_file(const std::filesystem::path& path);

void log_verbose(const std::string& message);
void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace featflow
