#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

using Token = int32_t;

// GGUF's tokenizer.ggml.token_type.
enum class TokenType : int8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// A vocabulary as a model file gives it (tokenizer.ggml.*). Plain data, so that tests and fuzzers can build one.
struct VocabData {
  std::string model;  // "gpt2": byte-level BPE; "llama": SentencePiece; "gemma4": SentencePiece by merges
  std::string pre;    // the pre-tokenizer of "gpt2": "qwen2", "qwen35", "llama-bpe", "gpt-2", ...; empty: "default"
  std::vector<std::string> tokens;
  std::vector<float> scores;         // "llama" alone
  std::vector<int64_t> token_types;  // empty: all normal
  std::vector<std::string> merges;   // "gpt2" and "gemma4": "left right"
  std::optional<Token> bos, eos, eot, eom, unknown, padding;
  std::optional<Token> fim_pad, fim_repository, fim_separator;  // of code models that fill in
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  // "llama" alone

  // BOS where texts begin with it.
  std::optional<Token> first_token() const { return add_bos ? bos : std::nullopt; }
};

// Whether texts begin with BOS where the file does not say it (tokenizer.ggml.add_bos_token): the family's habit.
bool AddsBosByDefault(std::string_view model, std::string_view pre);

class SpecialTokens;

// Text to tokens and back. Immutable after Make(): use from any thread.
class Tokenizer {
 public:
  // Throws kBadFile (ids out of range, merges of unknown tokens, ...) or kUnsupported (unknown model or pre-tokenizer,
  // naming it and listing the known ones). `source` names the file in messages.
  static std::unique_ptr<Tokenizer> Make(VocabData vocab, std::string_view source);
  virtual ~Tokenizer() = default;

  // Control tokens that stand in the text are recognised when parse_special; user-defined tokens always, as Hugging
  // Face and SentencePiece do. Any bytes are valid input: invalid UTF-8 is tokenized byte by byte as U+FFFD would
  // split, and decodes to the same bytes. No BOS or EOS is added here: see add_bos().
  virtual std::vector<Token> Encode(std::string_view text, bool parse_special) const = 0;

  // The bytes that one token stands for; control tokens give their text when `special`, else nothing. The first token
  // of an SPM text keeps its space: callers that need the whole text use Decode().
  virtual std::string TokenBytes(Token token, bool special) const = 0;
  virtual std::string Decode(std::span<const Token> tokens, bool special) const = 0;

  const VocabData& vocab() const { return vocab_; }
  int size() const { return static_cast<int>(vocab_.tokens.size()); }
  TokenType type(Token token) const;
  bool IsEndOfGeneration(Token token) const;                         // as FindEndTokens() finds them
  std::span<const Token> end_tokens() const { return end_tokens_; }  // those, sorted

 protected:
  explicit Tokenizer(VocabData vocab);

  void CheckToken(Token token) const;              // throws kUsage when it is not in the vocabulary
  static void CheckLength(std::string_view text);  // throws kUsage past 1 GiB
  // Tokens whose text is their name, not a part of texts: control, user-defined and unknown ones.
  bool IsSpecial(Token token) const;
  // Has a special token found in texts by its text there, unless it only pads the vocabulary.
  void AddSpecial(SpecialTokens& specials, Token token, std::string_view text) const;
  bool IsShown(Token token, bool special) const { return special || type(token) != TokenType::kControl; }

  VocabData vocab_;
  std::vector<Token> end_tokens_;  // sorted
};

}  // namespace assay
