#include "core/interrupt.hpp"

#include <unistd.h>

#include <csignal>

namespace featflow {
namespace {
volatile std::sig_atomic_t signal_seen = 0;

void on_signal(int) {
  if (signal_seen) _exit(130);
  signal_seen = 1;
}
}  // namespace

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}
bool interrupted() { return signal_seen != 0; }
void throw_if_interrupted() {
  if (interrupted()) throw Interrupted();
}

}  // namespace featflow
