#include "core/parallel.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.hpp"

namespace featflow {
namespace {

// Set in pool workers, so that a nested parallel_for runs inline.
thread_local int current_worker = -1;

class ThreadPool {
 public:
  explicit ThreadPool(int size) {
    for (int worker = 0; worker < size; ++worker) {
      try {
        threads_.emplace_back([this, worker] { work(worker); });
      } catch (const std::system_error& error) {
        stop();
        throw Error(fmt::format("{} threads cannot be started, only {}: {}; a smaller --threads?",
                                size, worker, error.what()));
      }
    }
  }

  ~ThreadPool() { stop(); }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int size() const { return static_cast<int>(threads_.size()); }

  void run(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t, int)>& body) {
    std::lock_guard one_caller(caller_mutex_);
    std::unique_lock lock(mutex_);
    body_ = &body;
    count_ = count;
    grain_ = grain;
    next_.store(0);
    error_ = nullptr;
    remaining_ = size();
    ++generation_;
    wake_.notify_all();
    done_.wait(lock, [this] { return remaining_ == 0; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work(int worker) {
    current_worker = worker;
    // OpenBLAS (OpenMP build) asks this thread's setting: each worker's sgemm is single-threaded.
    omp_set_num_threads(1);
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      lock.unlock();
      run_chunks(worker);
      lock.lock();
      if (--remaining_ == 0) done_.notify_all();
    }
  }

  void run_chunks(int worker) {
    try {
      while (true) {
        const int64_t begin = next_.fetch_add(grain_);
        if (begin >= count_) return;
        (*body_)(begin, std::min(begin + grain_, count_), worker);
      }
    } catch (...) {
      next_.store(count_);
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  std::mutex caller_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  const std::function<void(int64_t, int64_t, int)>* body_ = nullptr;
  int64_t count_ = 0, grain_ = 1;
  std::atomic<int64_t> next_{0};
  std::exception_ptr error_;
  uint64_t generation_ = 0;
  int remaining_ = 0;
  bool stopping_ = false;
};

std::unique_ptr<ThreadPool>& pool() {
  static std::unique_ptr<ThreadPool> instance;
  return instance;
}
std::mutex pool_mutex;

ThreadPool& ready_pool() {
  std::lock_guard lock(pool_mutex);
  if (!pool()) pool() = std::make_unique<ThreadPool>(default_thread_count());
  return *pool();
}

// CPUs granted by the cgroup (v2: "max 100000" or "150000 100000"); 0 if there is no limit.
double cgroup_cpu_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  try {
    return std::stod(quota) / period;
  } catch (const std::exception&) {
    return 0;
  }
}

}  // namespace

int default_thread_count() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int count = 1;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
  const double quota = cgroup_cpu_quota();
  if (quota > 0) count = std::min(count, static_cast<int>(std::ceil(quota)));
  return std::max(count, 1);
}

void set_thread_count(int count) {
  FEATFLOW_CHECK(count >= 1, "a pool needs at least one thread");
  FEATFLOW_CHECK(current_worker < 0, "the pool cannot be resized from within");
  std::lock_guard lock(pool_mutex);
  if (!pool() || pool()->size() != count) pool() = std::make_unique<ThreadPool>(count);
}

int thread_count() { return ready_pool().size(); }

void parallel_for(int64_t count, int64_t grain,
                  const std::function<void(int64_t, int64_t, int)>& body) {
  FEATFLOW_CHECK(grain >= 1, "chunks need at least one element");
  if (count <= 0) return;
  if (current_worker >= 0) {
    body(0, count, current_worker);
    return;
  }
  ready_pool().run(count, grain, body);
}

}  // namespace featflow
