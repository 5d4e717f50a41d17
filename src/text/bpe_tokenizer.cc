#include "text/bpe_tokenizer.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/merge_list.h"
#include "text/piece_cache.h"

namespace assay {

BpeTokenizer::BpeTokenizer(VocabData vocab, std::string_view source)
    : Tokenizer(std::move(vocab)), source_(source), pre_tokenizer_(vocab_.pre, source), merges_(vocab_.merges.size()) {
  IndexTokens();
  IndexMerges();
}

void BpeTokenizer::IndexTokens() {
  const ByteAlphabet alphabet;
  bytes_.reserve(vocab_.tokens.size());  // by_bytes_ holds views of its strings
  by_bytes_.reserve(vocab_.tokens.size());
  for (Token token = 0; token < size(); ++token) {
    const std::string& text = vocab_.tokens[token];
    if (IsSpecial(token)) {
      // The names of these tokens are plain text, not the byte alphabet.
      AddSpecial(specials_, token, text);
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
    byte_tokens_[byte] = found == by_bytes_.end() ? -1 : found->second;
  }
}

void BpeTokenizer::IndexMerges() {
  const ByteAlphabet alphabet;
  const auto find = [&](const std::optional<std::string>& bytes) -> Token {
    if (!bytes) return -1;
    const auto found = by_bytes_.find(*bytes);
    return found == by_bytes_.end() ? -1 : found->second;
  };
  size_t used = 0;
  for (size_t rank = 0; rank < vocab_.merges.size(); ++rank) {
    const auto [left_text, right_text] = SplitMerge(vocab_, rank, source_);
    const std::optional<std::string> left = alphabet.Bytes(left_text);
    const std::optional<std::string> right = alphabet.Bytes(right_text);
    const Token left_token = find(left);
    const Token right_token = find(right);
    const Token merged = left_token < 0 || right_token < 0 ? -1 : find(*left + *right);
    if (merged < 0) continue;
    merges_.Insert(static_cast<uint32_t>(left_token), static_cast<uint32_t>(right_token),
                   Merge{static_cast<uint32_t>(rank), merged});
    ++used;
  }
  CheckMergesUsed(vocab_, used, source_);
}

// What a call of Encode carries along.
struct BpeTokenizer::Encoding {
  explicit Encoding(std::string_view whole) : text(whole), seen(whole.size()), memo(whole.size()) {
    tokens.reserve(whole.size() / 3);
  }

  std::string_view text;
  std::vector<Token> tokens;
  PieceCache seen;
  MergeMemo memo;
  Merger merger;
};

std::vector<Token> BpeTokenizer::Encode(std::string_view text, bool parse_special) const {
  CheckLength(text);
  Encoding encoding(text);
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
    PieceCache::Seen& seen = encoding.seen.Place(piece);
    const size_t begin = tokens.size();
    if (seen.piece == piece) {
      PieceCache::Repeat(seen, tokens);
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
  for (uint32_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<uint8_t>(piece[i]);
    if (byte_tokens_[byte] < 0) {
      Fail(ErrorKind::kUnsupported, "{}: byte 0x{:02X} at {} of the text has no token in this vocabulary; take it out",
           source_, byte, piece.data() - encoding.text.data() + i);
    }
    merger.Add({byte_tokens_[byte], i, 1});
  }
  merger.Run([&](const Symbol& left, const Symbol& right) {
    return encoding.memo.Find(left.token, right.token, [&]() -> std::optional<Merge> {
      const Merge* merge = merges_.Find(static_cast<uint32_t>(left.token), static_cast<uint32_t>(right.token));
      if (merge == nullptr) return std::nullopt;
      return *merge;
    });
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
