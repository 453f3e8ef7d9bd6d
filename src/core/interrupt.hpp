#pragma once

#include <stdexcept>

namespace featflow {

/// Thrown at a safe point after Ctrl-C (SIGINT, SIGTERM): checkpoints are saved on the way out.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

/// First signal: `interrupted()` becomes true. Second: the process ends at once with code 130.
void install_interrupt_handler();
bool interrupted();
void throw_if_interrupted();

}  // namespace featflow
