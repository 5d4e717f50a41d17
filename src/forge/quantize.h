#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "forge/mixture.h"
#include "gguf/gguf.h"

namespace assay {

// A format asked for by hand for the tensors whose name the regular expression (ECMAScript) finds itself in.
struct TypeOverride {
  std::string pattern;
  Format format = Format::kF16;
};

struct QuantizeOptions {
  std::filesystem::path imatrix;        // empty: every column weighs the same
  std::vector<TypeOverride> overrides;  // the first that matches wins over the mixture
  bool dry_run = false;                 // report alone: nothing is read but the headers, nothing is written
  int threads = 1;                      // the bytes written do not depend on it
  std::function<void(uint64_t done, uint64_t total, const std::string& tensor)> progress;  // in bytes read
};

struct TypeTotal {
  uint64_t tensors = 0, bytes = 0;
};

struct QuantizeResult {
  uint64_t bytes_in = 0, bytes_out = 0;  // of the files
  double bits_per_weight = 0.0;
  std::map<std::string, TypeTotal> types;
  std::vector<std::string> notes;  // what the user should know: fallbacks, a source that is quantised already
};

inline constexpr std::string_view kQuantisedSourceNote =
    "the source is quantised already: its errors stay; an F16 or BF16 source is better";

// Writes `in` at a rung of the ladder, as llama.cpp's quantiser would: its mixture, its metadata. Large tensors are
// streamed: memory stays within some tens of megabytes. Throws kUsage (an override that matches nothing, `out` is the
// source), kBadFile (a weight that is not finite: named), kIo; nothing is left at `out` then.
QuantizeResult QuantizeModel(const GgufFile& in, const std::filesystem::path& out, Rung rung,
                             const QuantizeOptions& options);

}  // namespace assay
