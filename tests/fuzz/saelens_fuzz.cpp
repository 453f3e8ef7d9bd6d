// Any cfg.json beside good weights: the autoencoder that they are, or Error.

#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "autoencoder/saelens.hpp"
#include "core/error.hpp"
#include "scratch_folder.hpp"

namespace {

constexpr int64_t kInputs = 2, kFeatures = 3;

const std::filesystem::path& folder_with_weights() {
  static const ScratchFolder folder;
  static const bool written = [] {
    featflow::Autoencoder autoencoder;
    autoencoder.input_size = kInputs;
    autoencoder.feature_count = kFeatures;
    autoencoder.encoder_weight.assign(kInputs * kFeatures, 0.5f);
    autoencoder.decoder_weight.assign(kInputs * kFeatures, 0.7071068f);
    autoencoder.encoder_bias.assign(kFeatures, 0.0f);
    autoencoder.decoder_bias.assign(kInputs, 0.0f);
    featflow::save_saelens(folder.path(), autoencoder, {});
    return true;
  }();
  (void)written;
  return folder.path();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path& folder = folder_with_weights();
  std::ofstream(folder / "cfg.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const auto loaded = featflow::load_saelens(folder);
    if (loaded.autoencoder.input_size != kInputs) std::abort();
    if (loaded.autoencoder.feature_count != kFeatures) std::abort();
  } catch (const featflow::Error&) {
  }
  return 0;
}
