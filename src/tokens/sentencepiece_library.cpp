#include "tokens/sentencepiece_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "core/error.hpp"

namespace featflow {
namespace {

// The address sanitizer cannot run with RTLD_DEEPBIND; its builds have no LibTorch either.
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL;
#else
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

const SentencePieceLibrary* load_module() {
  const auto file = std::filesystem::read_symlink("/proc/self/exe").parent_path() /
                    "libfeatflow_sentencepiece.so";
  void* module = dlopen(file.c_str(), kLoadFlags);
  if (!module) {
    throw Error(fmt::format("{}: cannot be loaded: {}; expected it beside the program",
                            file.string(), dlerror()));
  }
  using Entry = const SentencePieceLibrary* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(module, "featflow_sentencepiece"));
  if (!entry) throw Error(file.string() + ": is not FeatFlow's module: probably of another build");
  return entry();
}

}  // namespace

const SentencePieceLibrary& sentencepiece_library() {
  static const SentencePieceLibrary* const library = load_module();
  return *library;
}

}  // namespace featflow
