#include "core/interrupt.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace featflow {
namespace {
// Written by the handler on whichever thread gets the signal, read by all.
std::atomic<bool> signal_seen = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (signal_seen.exchange(true)) _exit(130);
}
}  // namespace

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}
bool interrupted() { return signal_seen.load(std::memory_order_relaxed); }
void throw_if_interrupted() {
  if (interrupted()) throw Interrupted();
}

}  // namespace featflow
