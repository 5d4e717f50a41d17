#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/byte_alphabet.h"

namespace assay {

BpeTokenizer::BpeTokenizer(VocabData vocab, std::string_view source)
    : Tokenizer(std::move(vocab)), pre_tokenizer_(vocab_.pre, source), merges_(vocab_.merges.size()) {
  IndexTokens(source);
  IndexMerges(source);
}

void BpeTokenizer::IndexTokens(std::string_view source) {
  const ByteAlphabet alphabet;
  bytes_.reserve(vocab_.tokens.size());  // by_bytes_ holds views of its strings
  by_bytes_.reserve(vocab_.tokens.size());
  for (Token token = 0; token < size(); ++token) {
    const std::string& text = vocab_.tokens[token];
    const TokenType type = this->type(token);
    if (type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown) {
      // The names of these tokens are plain text, not the byte alphabet.
      if (type != TokenType::kUnknown) specials_.Add(text, token, type == TokenType::kControl);
      bytes_.push_back(text);
      continue;
    }
    std::optional<std::string> bytes = alphabet.Bytes(text);
    bytes_.push_back(bytes.value_or(text));
    if (bytes) by_bytes_.emplace(bytes_.back(), token);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = by_bytes_.find(std::string_view(&c, 1));
    if (found == by_bytes_.end()) {
      Fail(ErrorKind::kBadFile, "{}: the vocabulary has no token for byte 0x{:02X}; byte-level BPE needs all 256",
           source, byte);
    }
    byte_tokens_[byte] = found->second;
  }
}

void BpeTokenizer::IndexMerges(std::string_view source) {
  const ByteAlphabet alphabet;
  const auto fail = [&](size_t rank, std::string_view what) {
    Fail(ErrorKind::kBadFile, "{}: merge {} of {} (\"{}\") {}", source, rank, vocab_.merges.size(), vocab_.merges[rank],
         what);
  };
  const auto find = [&](const std::optional<std::string>& bytes) -> std::optional<Token> {
    if (!bytes) return std::nullopt;
    const auto found = by_bytes_.find(*bytes);
    if (found == by_bytes_.end()) return std::nullopt;
    return found->second;
  };
  for (size_t rank = 0; rank < vocab_.merges.size(); ++rank) {
    const std::string_view merge = vocab_.merges[rank];
    const size_t space = merge.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      fail(rank, "is not two tokens with a space between them");
    }
    const std::optional<std::string> left = alphabet.Bytes(merge.substr(0, space));
    const std::optional<std::string> right = alphabet.Bytes(merge.substr(space + 1));
    const std::optional<Token> left_token = find(left);
    const std::optional<Token> right_token = find(right);
    if (!left_token) fail(rank, "names a left token that is not in the vocabulary");
    if (!right_token) fail(rank, "names a right token that is not in the vocabulary");
    const std::optional<Token> merged = find(*left + *right);
    if (!merged) fail(rank, "makes a token that is not in the vocabulary");
    merges_.Insert(*left_token, *right_token, Merge{static_cast<uint32_t>(rank), *merged});
  }
}

// What a call of Encode carries along: the result, and where in it the pieces met last begin. Texts repeat their words,
// so most pieces are copied instead of merged again. Each piece has one place in the cache, by its hash; the cache is
// the call's own and of bounded size.
struct BpeTokenizer::Encoding {
  struct Seen {
    std::string_view piece;  // empty: none yet
    size_t begin = 0;
    size_t count = 0;
  };
  static constexpr size_t kMostSeen = 16384;

  explicit Encoding(size_t text_size) : seen(std::bit_ceil(std::clamp<size_t>(text_size / 8, 1, kMostSeen))) {
    tokens.reserve(text_size / 3);
  }

  std::vector<Token> tokens;
  std::vector<Seen> seen;
  Merger merger;
};

std::vector<Token> BpeTokenizer::Encode(std::string_view text, bool parse_special) const {
  CheckLength(text);
  Encoding encoding(text.size());
  for (size_t position = 0; position < text.size();) {
    const SpecialTokens::Match special = specials_.FindNext(text, position, parse_special);
    EncodePlain(text.substr(position, special.begin - position), encoding);
    if (special.size > 0) encoding.tokens.push_back(special.token);
    position = special.begin + special.size;
  }
  return std::move(encoding.tokens);
}

void BpeTokenizer::EncodePlain(std::string_view text, Encoding& encoding) const {
  if (text.empty()) return;
  std::vector<Token>& tokens = encoding.tokens;
  PreTokenizer::Pieces pieces(pre_tokenizer_, text);
  for (std::string_view piece; pieces.Next(piece);) {
    Encoding::Seen& seen = encoding.seen[std::hash<std::string_view>()(piece) & (encoding.seen.size() - 1)];
    const size_t begin = tokens.size();
    if (seen.piece == piece) {
      for (size_t i = 0; i < seen.count; ++i) tokens.push_back(tokens[seen.begin + i]);
    } else {
      EncodePiece(piece, encoding);
    }
    seen = {piece, begin, tokens.size() - begin};
  }
}

void BpeTokenizer::EncodePiece(std::string_view piece, Encoding& encoding) const {
  if (pre_tokenizer_.takes_whole_pieces()) {
    if (const auto found = by_bytes_.find(piece); found != by_bytes_.end()) {
      encoding.tokens.push_back(found->second);
      return;
    }
  }
  Merger& merger = encoding.merger;
  merger.Clear();
  for (uint32_t i = 0; i < piece.size(); ++i) merger.Add({byte_tokens_[static_cast<uint8_t>(piece[i])], i, 1});
  merger.Run([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const Merge* merge = merges_.Find(static_cast<uint32_t>(left.token), static_cast<uint32_t>(right.token));
    if (merge == nullptr) return std::nullopt;
    return *merge;
  });
  merger.ForEach([&](const Symbol& symbol) { encoding.tokens.push_back(symbol.token); });
}

std::string BpeTokenizer::TokenBytes(Token token, bool special) const {
  CheckToken(token);
  return IsShown(token, special) ? bytes_[token] : std::string();
}

std::string BpeTokenizer::Decode(std::span<const Token> tokens, bool special) const {
  std::string text;
  for (const Token token : tokens) {
    CheckToken(token);
    if (IsShown(token, special)) text += bytes_[token];
  }
  return text;
}

}  // namespace assay
