#include "gguf/foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/error.h"

namespace assay {
namespace {

constexpr std::string_view kConvert = "convert the model to GGUF first";

struct Signature {
  std::string_view begin;
  std::string_view what;
};

// GGML's magic numbers were written as little-endian words: their letters stand backwards.
constexpr std::array kSignatures = {
    Signature{"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch that (git lfs pull)"},
    Signature{"lmgg", "a GGML file from before GGUF; convert or download the model again"},
    Signature{"fmgg", "a GGML file from before GGUF; convert or download the model again"},
    Signature{"tjgg", "a GGML file from before GGUF; convert or download the model again"},
    Signature{"algg", "a LoRA adapter from before GGUF; name the model's own file"},
    Signature{"PK\x03\x04", "a zip archive, as PyTorch's checkpoints are; convert the model to GGUF first"},
    Signature{"\x80\x02", "a pickled checkpoint of PyTorch; convert the model to GGUF first"},
    Signature{"\x1F\x8B", "a compressed file (gzip); unpack it first"},
    Signature{"\xFD"
              "7zXZ",
              "a compressed file (xz); unpack it first"},
    Signature{"\x28\xB5\x2F\xFD", "a compressed file (zstd); unpack it first"},
};

// The bytes without white space in front and in small letters, as far as they tell what a text is.
std::string BeginOfText(std::string_view text) {
  constexpr size_t kEnough = 64;
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  std::string begin(text.substr(0, kEnough));
  std::ranges::transform(begin, begin.begin(),
                         [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return begin;
}

// A header's length in 8 bytes, and the header, which is JSON.
bool IsSafetensors(std::span<const uint8_t> bytes) {
  if (bytes.size() < 9 || bytes[8] != '{') return false;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8U | bytes[i];
  return length <= bytes.size() - 8;
}

bool IsCheckpoint(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename() == "config.json" || entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

}  // namespace

std::string DescribeForeign(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Signature& signature : kSignatures) {
    if (text.starts_with(signature.begin)) return std::string(signature.what);
  }
  if (IsSafetensors(bytes)) return fmt::format("a safetensors file; {}", kConvert);
  const std::string begin = BeginOfText(text);
  if (begin.starts_with("<!doctype html") || begin.starts_with("<html")) {
    return "a web page, which a failed download leaves; fetch the file itself";
  }
  if (begin.starts_with("{")) return "JSON; name the model's own file";
  uint32_t first = 0;
  for (size_t i = 0; i < 4; ++i) first = first << 8U | (i < bytes.size() ? bytes[i] : 0U);
  return fmt::format("it starts with bytes {:08x}, not with \"GGUF\"; name the file of a model, or {}", first,
                     kConvert);
}

void RequireFilePath(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error) && IsCheckpoint(path)) {
    Fail(ErrorKind::kBadFile, "{}: the folder of a checkpoint; {}", path.string(), kConvert);
  }
  if (path.string().find("://") != std::string::npos && !std::filesystem::exists(path, error)) {
    Fail(ErrorKind::kBadFile, "{}: a web address; download the file and name that", path.string());
  }
}

}  // namespace assay
