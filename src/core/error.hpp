#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace featflow {

/// Something the user can fix: a file's content, a key of the study, a full disk.
/// The message is one line: where, what was given, what was expected, likely cause.
/// `main` prints it and exits with code 1; the library never prints, exits or aborts.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// A bug of ours (exit code 70). Thrown by FEATFLOW_CHECK.
class InternalError : public std::logic_error {
 public:
  explicit InternalError(const std::string& message) : std::logic_error(message) {}
};

/// Text from outside, made safe for a one-line message: control characters are escaped, invalid
/// UTF-8 becomes \xNN, and anything over `limit` bytes is cut with "…". Quotes are added.
std::string in_quotes(std::string_view text, size_t limit = 80);

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);

}  // namespace featflow

/// An invariant that holds whatever the input, in release builds too.
#define FEATFLOW_CHECK(condition, message)                                 \
  do {                                                                     \
    if (!(condition)) [[unlikely]]                                         \
      ::featflow::check_failed(__FILE__, __LINE__, #condition, (message)); \
  } while (false)
