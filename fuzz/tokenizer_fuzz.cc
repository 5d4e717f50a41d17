// Any vocabulary and any text: Make() gives a tokenizer or an Error, encoding gives tokens of the vocabulary, and
// byte-level BPE gives back every byte. The first byte of an input picks the tokenizer:
//   0 to 3   byte-level BPE over a fixed vocabulary, one pre-tokenizer each; the rest is the text
//   4        SPM over a fixed vocabulary; the rest is the text
//   5        any vocabulary: lines of the input up to a NUL, the text behind it
//   6        byte-level BPE over the 256 bytes and the merges that the input asks for
//   7        as 0 to 3 by the rules of the family whose number the second byte is; a vocabulary that lacks bytes
//   8        "gemma4" over a fixed vocabulary; the rest is the text

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/pre_tokenizer_families.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

std::string Utf8(uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// The 256 bytes in the byte-level alphabet, each at its own id.
std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    tokens.push_back(Utf8(prints ? byte : next++));
  }
  return tokens;
}

void AddMerge(VocabData& vocab, size_t left, size_t right) {
  vocab.merges.push_back(vocab.tokens[left] + " " + vocab.tokens[right]);
  vocab.tokens.push_back(vocab.tokens[left] + vocab.tokens[right]);
}

void AddSpecial(VocabData& vocab, std::string_view text, TokenType type) {
  vocab.token_types.resize(vocab.tokens.size(), static_cast<int64_t>(TokenType::kNormal));
  vocab.tokens.emplace_back(text);
  vocab.token_types.push_back(static_cast<int64_t>(type));
}

VocabData BpeVocab(std::string_view pre) {
  VocabData vocab{.model = "gpt2", .pre = std::string(pre), .tokens = ByteTokens()};
  for (const std::string_view pair : {"aa", "th", "  ", "\r\n", "\xC3\xA9", "\xE2\x80", "''", "11", " t"}) {
    AddMerge(vocab, static_cast<uint8_t>(pair[0]), static_cast<uint8_t>(pair[1]));
  }
  AddMerge(vocab, 256, 256);  // aaaa
  AddMerge(vocab, 256, 'a');  // aaa, which competes with it
  AddMerge(vocab, 257, 'e');  // the
  AddSpecial(vocab, "<|end|>", TokenType::kControl);
  AddSpecial(vocab, "<|e", TokenType::kUserDefined);
  AddSpecial(vocab, "\x80\x80", TokenType::kUserDefined);  // no character: fragments beside it may be cut anywhere
  return vocab;
}

VocabData LackingVocab(std::string_view pre) {
  VocabData vocab = BpeVocab(pre);
  vocab.tokens[0x04] = "<lacking>";
  vocab.tokens[0xF1] = "<lacking too>";
  vocab.merges.push_back("no token");
  return vocab;
}

VocabData SpmVocab() {
  VocabData vocab{.model = "llama"};
  const auto add = [&](std::string text, TokenType type, float score) {
    vocab.tokens.push_back(std::move(text));
    vocab.token_types.push_back(static_cast<int64_t>(type));
    vocab.scores.push_back(score);
  };
  add("<unk>", TokenType::kUnknown, 0);
  add("</s>", TokenType::kControl, 0);
  add("<ud>", TokenType::kUserDefined, 0);
  for (int byte = 0; byte < 256; ++byte) {
    char name[7];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    add(name, TokenType::kByte, 0);
  }
  float score = 0;
  for (const std::string_view piece : {"▁", "a", "b", "▁a", "aa", "aaa", "ab", "▁▁", "é", "é▁"}) {
    add(std::string(piece), TokenType::kNormal, score -= 1);
  }
  add("ba", TokenType::kUnused, score - 1);
  add("bab", TokenType::kNormal, score - 2);
  return vocab;
}

VocabData MergedSpmVocab() {
  VocabData vocab = SpmVocab();
  vocab.model = "gemma4";
  vocab.merges = {"a b", "▁ a", "a a", "aa a", "▁ ▁", "é ▁", "b ab"};
  return vocab;
}

// The tokenizer of each family's rules, spelled ones among them.
const Tokenizer& OfFamily(size_t number) {
  static const std::vector<std::unique_ptr<Tokenizer>> kTokenizers = [] {
    std::vector<std::unique_ptr<Tokenizer>> tokenizers;
    for (const PreTokenizerFamily& family : PreTokenizerFamilies()) {
      const std::string_view name = family.names.substr(0, family.names.find(' '));
      VocabData vocab = family.is_spelled ? MergedSpmVocab() : LackingVocab(name);
      vocab.model = "gpt2";
      vocab.pre = name;
      tokenizers.push_back(Tokenizer::Make(std::move(vocab), "fuzz"));
    }
    return tokenizers;
  }();
  return *kTokenizers[number % kTokenizers.size()];
}

std::string_view TakeLine(std::string_view& input) {
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string_view line = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return line;
}

// Lines: "m" + two tokens is a merge, "t" + type digit + score byte + text a token, "i" + role + value a special id,
// "b" adds the 256 byte tokens, "p" + text names the pre-tokenizer, "g" picks byte-level BPE, anything else is noise.
VocabData AnyVocab(std::string_view lines) {
  VocabData vocab{.model = "llama", .pre = "qwen35"};
  while (!lines.empty()) {
    const std::string_view line = TakeLine(lines);
    const std::string_view rest = line.substr(std::min<size_t>(1, line.size()));
    const char kind = line.empty() ? ' ' : line[0];
    if (kind == 'm') vocab.merges.emplace_back(rest);
    if (kind == 'p') vocab.pre = rest;
    if (kind == 'g') vocab.model = "gpt2";
    if (kind == 's') vocab.add_space_prefix = false;
    if (kind == 't' && rest.size() >= 2) {
      vocab.tokens.emplace_back(rest.substr(2));
      vocab.token_types.push_back(rest[0] - '0');
      vocab.scores.push_back(static_cast<float>(rest[1]));
    }
    if (kind == 'b') {
      for (std::string& token : ByteTokens()) vocab.tokens.push_back(std::move(token));
      vocab.token_types.resize(vocab.tokens.size(), 1);
      vocab.scores.resize(vocab.tokens.size(), 0);
    }
    if (kind == 'i' && rest.size() >= 2) {
      (rest[0] & 1 ? vocab.unknown : vocab.eos) = static_cast<Token>(rest[1]);
    }
    if (kind == 'x') vocab.scores.clear();
  }
  return vocab;
}

VocabData MergedVocab(std::string_view pairs) {
  VocabData vocab{.model = "gpt2", .pre = "gpt-2", .tokens = ByteTokens()};
  for (size_t i = 0; i + 1 < pairs.size() && i < 64; i += 2) {
    // The second of a pair may be any token so far: merges of merges.
    const size_t right = vocab.tokens.size() - 1 - static_cast<uint8_t>(pairs[i + 1]) % vocab.tokens.size();
    if (vocab.tokens[right].size() < 64) AddMerge(vocab, static_cast<uint8_t>(pairs[i]), right);
  }
  return vocab;
}

void Check(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {false, true}) {
    const std::vector<Token> tokens = tokenizer.Encode(text, parse_special);
    for (const Token token : tokens) Require(token >= 0 && token < tokenizer.size(), "a token outside the vocabulary");
    const std::string decoded = tokenizer.Decode(tokens, true);
    // SentencePiece's mark for a space decodes to one.
    const bool spells = tokenizer.vocab().scores.empty() || text.find("\xE2\x96\x81") == text.npos;
    if (spells && tokenizer.vocab().model == "gpt2") Require(decoded == text, "decoding does not give the text back");
    Require(tokenizer.Encode(text, parse_special) == tokens, "the same text gives other tokens");
  }
}

// As Check, but a text that needs a byte without a token may be refused.
void CheckIfSpoken(const Tokenizer& tokenizer, std::string_view text) {
  try {
    Check(tokenizer, text);
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUnsupported, error.what());
    Require(text.find_first_of("\x04\xF1") != text.npos, "a text is refused that needs no byte without a token");
  }
}

void Run(uint8_t kind, std::string_view input) {
  static const std::unique_ptr<Tokenizer> kFixed[] = {
      Tokenizer::Make(BpeVocab("qwen2"), "fuzz"),
      Tokenizer::Make(BpeVocab("qwen35"), "fuzz"),
      Tokenizer::Make(BpeVocab("llama-bpe"), "fuzz"),
      Tokenizer::Make(BpeVocab("gpt-2"), "fuzz"),
      Tokenizer::Make(SpmVocab(), "fuzz"),
      Tokenizer::Make(MergedSpmVocab(), "fuzz"),
  };
  if (kind < 5) return Check(*kFixed[kind], input);
  if (kind == 8) return Check(*kFixed[5], input);
  if (kind == 7) {
    if (input.empty()) return;
    return CheckIfSpoken(OfFamily(static_cast<uint8_t>(input[0])), input.substr(1));
  }
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(std::min(end + 1, input.size()));
  const std::string_view description = input.substr(0, end);
  try {
    Check(*Tokenizer::Make(kind == 5 ? AnyVocab(description) : MergedVocab(description), "fuzz"), text);
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kBadFile || error.kind() == ErrorKind::kUnsupported, error.what());
  }
}

}  // namespace
}  // namespace assay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  assay::Run(data[0] % 9, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
