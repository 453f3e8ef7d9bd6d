// A rater's CSV file, or a key: whatever the bytes, they are read or give an Error.

#include <cstdint>

#include "core/error.hpp"
#include "matching/pair_ratings.hpp"
#include "scratch_folder.hpp"
#include "storage/files.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ScratchFolder folder;
  const auto file = folder.path() / "ratings.csv";
  featflow::write_file_atomic(file, {reinterpret_cast<const char*>(data), size});
  try {
    featflow::load_pair_ratings(file);
  } catch (const featflow::Error&) {
  }
  try {
    featflow::load_pair_bands(file);
  } catch (const featflow::Error&) {
  }
  return 0;
}
