// Tokenizes texts from stdin for tools/check_tokenizers.py, which compares them with the reference libraries':
//   tokenizer_driver ids MODEL.gguf special|plain [PRE]   the file's tokenizer, or under other pre-tokenizer rules
//   tokenizer_driver pieces PRE                           the pieces of the rules alone
// A text is its size in bytes (32 bits, little endian) and its bytes; the answer a count and as many 32-bit numbers:
// ids or sizes of pieces in bytes. A text that needs a byte without a token is answered with the count 2^32 - 1 alone.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "gguf/gguf.h"
#include "model/model_spec.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

constexpr uint32_t kNoToken = UINT32_MAX;

std::optional<std::string> ReadText() {
  uint32_t size = 0;
  if (std::fread(&size, sizeof size, 1, stdin) != 1) return std::nullopt;
  std::string text(size, '\0');
  if (std::fread(text.data(), 1, size, stdin) != size) return std::nullopt;
  return text;
}

void Write(const void* data, size_t size) {
  if (std::fwrite(data, 1, size, stdout) != size) Fail(ErrorKind::kIo, "cannot write the answers");
}

void Answer(const std::vector<int32_t>& numbers) {
  const auto count = static_cast<uint32_t>(numbers.size());
  Write(&count, sizeof count);
  Write(numbers.data(), numbers.size() * sizeof(int32_t));
}

std::unique_ptr<Tokenizer> Load(const std::string& path, const char* pre) {
  std::unique_ptr<Tokenizer> tokenizer = BuildTokenizer(GgufFile::Open(path));
  if (pre == nullptr) return tokenizer;
  VocabData vocab = tokenizer->vocab();
  vocab.pre = pre;
  return Tokenizer::Make(std::move(vocab), path);
}

void AnswerIds(const Tokenizer& tokenizer, bool parse_special) {
  while (const std::optional<std::string> text = ReadText()) {
    try {
      Answer(tokenizer.Encode(*text, parse_special));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUnsupported) throw;
      Write(&kNoToken, sizeof kNoToken);
    }
  }
}

void AnswerPieces(const PreTokenizer& rules) {
  while (const std::optional<std::string> text = ReadText()) {
    std::vector<int32_t> sizes;
    PreTokenizer::Pieces pieces(rules, *text);
    for (std::string_view piece; pieces.Next(piece);) sizes.push_back(static_cast<int32_t>(piece.size()));
    Answer(sizes);
  }
}

int Run(const std::vector<std::string>& words) {
  if (words.size() >= 3 && words[0] == "ids") {
    AnswerIds(*Load(words[1], words.size() > 3 ? words[3].c_str() : nullptr), words[2] == "special");
  } else if (words.size() == 2 && words[0] == "pieces") {
    AnswerPieces(PreTokenizer(words[1], "tokenizer_driver"));
  } else {
    Fail(ErrorKind::kUsage, "usage: tokenizer_driver ids MODEL.gguf special|plain [PRE] or pieces PRE");
  }
  return 0;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  assay::InitLog(false);
  try {
    return assay::Run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
