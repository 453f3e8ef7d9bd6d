#pragma once

#include <cstdint>
#include <functional>

namespace featflow {

/// Threads this process may use: CPU affinity and the cgroup's quota respected, at least 1.
int default_thread_count();

/// Size of the process-wide pool (default: default_thread_count()), set once at start-up by
/// `--threads`. Results never depend on it unless a function's documentation says so.
void set_thread_count(int count);
int thread_count();

/// Calls body(begin, end, worker) over [0, count) in chunks of at most `grain`, on the pool's
/// workers; worker is in [0, thread_count()). Returns when all is done; the first exception is
/// rethrown. Which worker gets which chunk varies: results must not depend on it. BLAS called in
/// body runs single-threaded. Nested calls run inline.
void parallel_for(int64_t count, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end, int worker)>& body);

}  // namespace featflow
