#include "text/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "text/bpe_tokenizer.h"
#include "text/end_tokens.h"
#include "text/pre_tokenizer_families.h"
#include "text/special_tokens.h"
#include "text/spm_tokenizer.h"

namespace assay {
namespace {

constexpr std::string_view kGemma4 = "gemma4";

void CheckId(const std::optional<Token>& token, std::string_view role, size_t size, std::string_view source) {
  if (token && (*token < 0 || static_cast<size_t>(*token) >= size)) {
    Fail(ErrorKind::kBadFile, "{}: the {} token is {}, but the vocabulary has {} tokens; {}", source, role, *token,
         size, kGetAgain);
  }
}

void CheckTypes(const VocabData& vocab, std::string_view source) {
  if (!vocab.token_types.empty() && vocab.token_types.size() != vocab.tokens.size()) {
    Fail(ErrorKind::kBadFile, "{}: {} token types for {} tokens; {}", source, vocab.token_types.size(),
         vocab.tokens.size(), kGetAgain);
  }
  for (size_t i = 0; i < vocab.token_types.size(); ++i) {
    const int64_t type = vocab.token_types[i];
    if (type < static_cast<int64_t>(TokenType::kNormal) || type > static_cast<int64_t>(TokenType::kByte)) {
      Fail(ErrorKind::kBadFile, "{}: token {} has type {}, which is none of 1 to 6; {}", source, i, type, kGetAgain);
    }
  }
}

void CheckScores(const VocabData& vocab, std::string_view source) {
  if (vocab.scores.size() != vocab.tokens.size()) {
    Fail(ErrorKind::kBadFile, "{}: {} scores for {} tokens; {}", source, vocab.scores.size(), vocab.tokens.size(),
         kGetAgain);
  }
  const auto nan = std::find_if(vocab.scores.begin(), vocab.scores.end(), [](float s) { return std::isnan(s); });
  if (nan != vocab.scores.end()) {
    Fail(ErrorKind::kBadFile, "{}: the score of token {} is not a number; {}", source, nan - vocab.scores.begin(),
         kGetAgain);
  }
}

void CheckVocab(const VocabData& vocab, std::string_view source) {
  if (vocab.tokens.empty()) Fail(ErrorKind::kBadFile, "{}: the vocabulary has no tokens; {}", source, kGetAgain);
  if (vocab.tokens.size() > INT32_MAX) {
    Fail(ErrorKind::kBadFile, "{}: {} tokens are more than a token id can count; {}", source, vocab.tokens.size(),
         kGetAgain);
  }
  CheckTypes(vocab, source);
  CheckId(vocab.bos, "BOS", vocab.tokens.size(), source);
  CheckId(vocab.eos, "EOS", vocab.tokens.size(), source);
  CheckId(vocab.eot, "end-of-turn", vocab.tokens.size(), source);
  CheckId(vocab.eom, "end-of-message", vocab.tokens.size(), source);
  CheckId(vocab.fim_pad, "fill-in padding", vocab.tokens.size(), source);
  CheckId(vocab.fim_repository, "fill-in repository", vocab.tokens.size(), source);
  CheckId(vocab.fim_separator, "fill-in separator", vocab.tokens.size(), source);
  CheckId(vocab.unknown, "unknown", vocab.tokens.size(), source);
  CheckId(vocab.padding, "padding", vocab.tokens.size(), source);
}

}  // namespace

bool AddsBosByDefault(std::string_view model, std::string_view pre) {
  if (model == "llama") return true;
  const PreTokenizerFamily* family = FindPreTokenizerFamily(model == kGemma4 ? kGemma4 : pre);
  return family != nullptr && family->adds_bos;
}

std::unique_ptr<Tokenizer> Tokenizer::Make(VocabData vocab, std::string_view source) {
  CheckVocab(vocab, source);
  if (vocab.model == "gpt2") {
    if (vocab.pre.empty()) vocab.pre = "default";
    const PreTokenizerFamily* family = FindPreTokenizerFamily(vocab.pre);
    if (family == nullptr || !family->is_spelled) return std::make_unique<BpeTokenizer>(std::move(vocab), source);
    vocab.add_space_prefix = false;
    return std::make_unique<SpmTokenizer>(std::move(vocab), source);
  }
  if (vocab.model == kGemma4) {
    vocab.add_space_prefix = false;
    return std::make_unique<SpmTokenizer>(std::move(vocab), source);
  }
  if (vocab.model == "llama") {
    CheckScores(vocab, source);
    return std::make_unique<SpmTokenizer>(std::move(vocab), source);
  }
  Fail(ErrorKind::kUnsupported, "{}: unknown tokenizer \"{}\" (tokenizer.ggml.model); known: gpt2, llama, gemma4",
       source, vocab.model);
}

Tokenizer::Tokenizer(VocabData vocab) : vocab_(std::move(vocab)), end_tokens_(FindEndTokens(vocab_)) {}

TokenType Tokenizer::type(Token token) const {
  return vocab_.token_types.empty() ? TokenType::kNormal : static_cast<TokenType>(vocab_.token_types[token]);
}

bool Tokenizer::IsSpecial(Token token) const {
  const TokenType type = this->type(token);
  return type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
}

void Tokenizer::AddSpecial(SpecialTokens& specials, Token token, std::string_view text) const {
  // Converters fill vocabularies up to the embedding's rows with tokens that the model's own tokenizer does not have.
  if (vocab_.tokens[token] == fmt::format("[PAD{}]", token)) return;
  specials.Add(text, token, type(token) != TokenType::kUserDefined);
}

bool Tokenizer::IsEndOfGeneration(Token token) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

void Tokenizer::CheckToken(Token token) const {
  if (token < 0 || token >= size()) {
    Fail(ErrorKind::kUsage, "token {} is not in the vocabulary of {} tokens", token, size());
  }
}

void Tokenizer::CheckLength(std::string_view text) {
  // Offsets inside a text are 32 bits wide, and SentencePiece's space mark makes a text up to three times as long.
  constexpr size_t kLongest = size_t{1} << 30;
  if (text.size() > kLongest) {
    Fail(ErrorKind::kUsage, "a text of {} bytes is too long to tokenize at once (at most {}); split it", text.size(),
         kLongest);
  }
}

}  // namespace assay
