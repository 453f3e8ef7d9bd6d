#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/version.hpp"
#include "core/blas.hpp"
#include "core/instruction_set.hpp"
#include "core/log.hpp"
#include "core/parallel.hpp"
#include "core/process.hpp"
#include "model/model.hpp"

namespace featflow {
namespace {

// Below this a reference BLAS (2 Gflop/s) or a broken thread setting is at work.
constexpr double kSlowGflops = 50;

void doctor(const CommonOptions& common) {
  common.apply();
  const BlasInfo blas = blas_info();
  const double rate = blas_gflops();
  const int64_t disk = free_disk_bytes(".");
  if (common.json) {
    print_json({{"version", version()},
                {"processor", processor_name()},
                {"instruction_set", instruction_set_name(instruction_set())},
                {"threads", thread_count()},
                {"blas_library", blas.library},
                {"blas_config", blas.config},
                {"blas_threads", blas.threads},
                {"blas_gflops", rate},
                {"libtorch", torch_version()},
                {"gpu", nullptr},
                {"free_disk_bytes", disk}});
  } else {
    fmt::print("featflow    {}\n", version());
    fmt::print("processor   {}\n", processor_name());
    fmt::print("kernels     {} (this processor runs up to {})\n",
               instruction_set_name(instruction_set()),
               instruction_set_name(widest_instruction_set()));
    fmt::print("threads     {}\n", thread_count());
    fmt::print(
        "BLAS        {}\n            {}\n            {:.0f} Gflop/s on a 1024³ product, {} "
        "threads\n",
        blas.library, blas.config, rate, blas.threads);
    fmt::print("LibTorch    {}\n", torch_version());
    fmt::print("GPU         not used by this build\n");
    fmt::print("disk        {} free here\n", human_bytes(disk));
  }
  if (rate < kSlowGflops) {
    log_warning(
        fmt::format("the matrix product reaches {:.0f} Gflop/s, expected over {:.0f}: not "
                    "OpenBLAS, or a busy machine ({})",
                    rate, kSlowGflops, blas.library));
  }
}

}  // namespace

void add_doctor(CLI::App& app, CommonOptions& common) {
  CLI::App* command = add_command(
      app, "doctor", "What this machine offers: libraries, threads, BLAS rate, GPU, disk",
      "featflow doctor", common);
  command->callback([&common] { doctor(common); });
}

}  // namespace featflow
