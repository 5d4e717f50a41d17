#include "text/spm_tokenizer.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include "base/error.h"
#include "text/merge_list.h"
#include "text/piece_cache.h"
#include "text/utf8.h"

namespace assay {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";         // U+2581
constexpr std::string_view kUnknownSurface = " \xE2\x81\x87 ";  // SentencePiece shows an unknown token as this

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    const size_t found = std::min(text.find(from, position), text.size());
    result += text.substr(position, found - position);
    if (found < text.size()) result += to;
    position = found + from.size();
  }
  return result;
}

// The value of "<0x2A>".
std::optional<uint8_t> ParseByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  uint8_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return value;
}

// The place of each score among the distinct scores, the best first.
std::vector<uint32_t> RankScores(const std::vector<float>& scores) {
  std::vector<float> distinct = scores;
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<uint32_t> ranks;
  ranks.reserve(scores.size());
  for (const float score : scores) {
    const auto place = std::lower_bound(distinct.begin(), distinct.end(), score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(place - distinct.begin()));
  }
  return ranks;
}

}  // namespace

SpmTokenizer::SpmTokenizer(VocabData vocab, std::string_view source)
    : Tokenizer(std::move(vocab)), has_merges_(vocab_.model != "llama") {
  IndexTokens();
  if (has_merges_) IndexMerges(source);
  CheckFallback(source);
}

void SpmTokenizer::IndexTokens() {
  byte_tokens_.fill(-1);
  const std::vector<uint32_t> ranks =
      has_merges_ ? std::vector<uint32_t>(vocab_.tokens.size()) : RankScores(vocab_.scores);
  bytes_.reserve(vocab_.tokens.size());
  texts_.reserve(vocab_.tokens.size());  // pieces_ holds views of its strings
  pieces_.reserve(vocab_.tokens.size());
  for (Token token = 0; token < size(); ++token) {
    const TokenType type = this->type(token);
    bytes_.push_back(ReplaceAll(vocab_.tokens[token], kSpaceMark, " "));
    texts_.push_back(ReplaceAll(vocab_.tokens[token], " ", kSpaceMark));
    const std::string& text = texts_.back();
    if (IsSpecial(token)) AddSpecial(specials_, token, text);
    if (type == TokenType::kControl) continue;
    if (type == TokenType::kUnknown) {
      bytes_.back() = kUnknownSurface;
      if (unknown_ < 0) unknown_ = token;
    } else if (const std::optional<uint8_t> byte = ParseByteToken(text); type == TokenType::kByte && byte) {
      bytes_.back() = std::string(1, static_cast<char>(*byte));
      byte_tokens_[*byte] = token;
    } else if (!text.empty()) {
      pieces_.emplace(text, Piece{token, ranks[token], type == TokenType::kUnused});
      longest_piece_ = std::max(longest_piece_, text.size());
      joints_.Add(text);
    }
  }
  if (vocab_.unknown) unknown_ = *vocab_.unknown;
}

void SpmTokenizer::IndexMerges(std::string_view source) {
  merges_ = PairMap<Merge>(vocab_.merges.size());
  size_t used = 0;
  for (size_t rank = 0; rank < vocab_.merges.size(); ++rank) {
    const auto [left_text, right_text] = SplitMerge(vocab_, rank, source);
    const Piece* left = FindPiece(left_text);
    const Piece* right = FindPiece(right_text);
    const Piece* both = FindPiece(std::string(left_text).append(right_text));
    if (left == nullptr || right == nullptr || both == nullptr) continue;
    merges_.Insert(static_cast<uint32_t>(left->token), static_cast<uint32_t>(right->token),
                   Merge{static_cast<uint32_t>(rank), both->token});
    ++used;
  }
  CheckMergesUsed(vocab_, used, source);
}

void SpmTokenizer::CheckFallback(std::string_view source) {
  const auto missing = std::find(byte_tokens_.begin(), byte_tokens_.end(), -1);
  has_bytes_ = missing == byte_tokens_.end();
  if (!has_bytes_ && unknown_ < 0) {
    Fail(ErrorKind::kBadFile,
         "{}: the vocabulary has neither an unknown token nor all byte tokens (first missing: <0x{:02X}>); "
         "one of the two is needed for text that is no piece",
         source, missing - byte_tokens_.begin());
  }
}

const SpmTokenizer::Piece* SpmTokenizer::FindPiece(std::string_view text) const {
  if (text.size() > longest_piece_) return nullptr;  // keeps long texts from being hashed whole
  const auto found = pieces_.find(text);
  return found == pieces_.end() ? nullptr : &found->second;
}

// SentencePiece's dummy prefix stands before the text and, as in Hugging Face's, before what follows a control token:
// each is a text of its own there. User-defined tokens stand inside a text.
std::string SpmTokenizer::Normalize(std::string_view text, bool parse_special) const {
  std::string marked = ReplaceAll(text, " ", kSpaceMark);
  if (!vocab_.add_space_prefix) return marked;
  std::string normal;
  const auto add = [&](std::string_view part) {
    if (!part.empty()) normal.append(kSpaceMark).append(part);
  };
  size_t begin = 0;
  for (size_t position = 0; parse_special && position < marked.size();) {
    const SpecialTokens::Match match = specials_.FindNext(marked, position, parse_special);
    position = match.begin + match.size;
    if (match.size == 0 || type(match.token) == TokenType::kUserDefined) continue;
    add(std::string_view(marked).substr(begin, match.begin - begin));
    normal.append(marked, match.begin, match.size);
    begin = position;
  }
  add(std::string_view(marked).substr(begin));
  return normal;
}

// What a call of Encode carries along.
struct SpmTokenizer::Encoding {
  explicit Encoding(size_t text_size) : seen(text_size), memo(text_size) { tokens.reserve(text_size / 3); }

  std::vector<Token> tokens;
  PieceCache seen;
  MergeMemo memo;
  Merger merger;
};

std::vector<Token> SpmTokenizer::Encode(std::string_view text, bool parse_special) const {
  CheckLength(text);
  if (text.empty()) return {};
  const std::string storage = Normalize(text, parse_special);
  const std::string_view normal = storage;
  Encoding encoding(normal.size());
  for (size_t position = 0; position < normal.size();) {
    const SpecialTokens::Match special = specials_.FindNext(normal, position, parse_special);
    EncodePlain(normal.substr(position, special.begin - position), encoding);
    if (special.size > 0) encoding.tokens.push_back(special.token);
    position = special.begin + special.size;
  }
  return std::move(encoding.tokens);
}

// Words, or what else no merge joins, one by one: the same result from smaller heaps, and those met before are copied.
void SpmTokenizer::EncodePlain(std::string_view text, Encoding& encoding) const {
  std::vector<Token>& tokens = encoding.tokens;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, joints_.FirstPart(text));
    text.remove_prefix(word.size());
    PieceCache::Seen& seen = encoding.seen.Place(word);
    if (seen.piece == word) {
      PieceCache::Repeat(seen, tokens);
      continue;
    }
    const bool follows_unknown = !tokens.empty() && tokens.back() == unknown_;
    const size_t begin = tokens.size();
    EncodeWord(word, encoding);
    // A word that begins with the unknown token becomes other tokens behind one.
    if (!follows_unknown && begin < tokens.size() && tokens[begin] != unknown_) {
      seen = {word, begin, tokens.size() - begin};
    }
  }
}

void SpmTokenizer::EncodeWord(std::string_view text, Encoding& encoding) const {
  Merger& merger = encoding.merger;
  std::vector<Token>& out = encoding.tokens;
  merger.Clear();
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::max<size_t>(1, Utf8CharLength(text, i));
    const Piece* piece = FindPiece(text.substr(i, length));
    merger.Add({piece == nullptr ? -1 : piece->token, static_cast<uint32_t>(i), static_cast<uint32_t>(length)});
    i += length;
  }
  Splits splits;
  merger.Run([&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto find = [&] { return FindMerge(text, left, right); };
    // A character without a token is not told by its symbol's token.
    const std::optional<Merge> merge =
        left.token < 0 || right.token < 0 ? find() : encoding.memo.Find(left.token, right.token, find);
    if (merge && !has_merges_ && type(merge->token) == TokenType::kUnused) {
      splits[text.substr(left.begin, left.size + right.size)] = {text.substr(left.begin, left.size),
                                                                 text.substr(right.begin, right.size)};
    }
    return merge;
  });
  merger.ForEach([&](const Symbol& symbol) {
    const std::string_view part = text.substr(symbol.begin, symbol.size);
    if (symbol.token < 0) {
      EmitUnknown(part, out);
    } else if (!has_merges_ && type(symbol.token) == TokenType::kUnused) {
      EmitUnused(part, splits, out);
    } else {
      out.push_back(symbol.token);
    }
  });
}

std::optional<Merge> SpmTokenizer::FindMerge(std::string_view text, const Symbol& left, const Symbol& right) const {
  if (has_merges_) {
    if (left.token < 0 || right.token < 0) return std::nullopt;
    const Merge* merge = merges_.Find(static_cast<uint32_t>(left.token), static_cast<uint32_t>(right.token));
    if (merge == nullptr) return std::nullopt;
    return *merge;
  }
  const Piece* piece = FindPiece(text.substr(left.begin, left.size + right.size));
  if (piece == nullptr) return std::nullopt;
  return Merge{piece->rank, piece->token};
}

void SpmTokenizer::EmitUnknown(std::string_view text, std::vector<Token>& out) const {
  if (has_bytes_) {
    for (const char c : text) out.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
  } else if (out.empty() || out.back() != unknown_) {  // one token for a run of unknown characters
    out.push_back(unknown_);
  }
}

// An unused piece may stand on the way to a longer one, but not in the result: it is split again the way it was merged.
void SpmTokenizer::EmitUnused(std::string_view text, const Splits& splits, std::vector<Token>& out) const {
  std::vector<std::string_view> pending = {text};
  while (!pending.empty()) {
    const std::string_view part = pending.back();
    pending.pop_back();
    const Piece* piece = FindPiece(part);
    if (piece == nullptr) {
      EmitUnknown(part, out);
    } else if (const auto split = splits.find(part); piece->is_unused && split != splits.end()) {
      pending.push_back(split->second.second);
      pending.push_back(split->second.first);
    } else {
      out.push_back(piece->token);
    }
  }
}

// An unknown token is shown by its name where the names of special tokens are.
const std::string& SpmTokenizer::Shown(Token token, bool special) const {
  return special && type(token) == TokenType::kUnknown ? vocab_.tokens[token] : bytes_[token];
}

std::string SpmTokenizer::TokenBytes(Token token, bool special) const {
  CheckToken(token);
  return IsShown(token, special) ? Shown(token, special) : std::string();
}

std::string SpmTokenizer::Decode(std::span<const Token> tokens, bool special) const {
  std::string text;
  bool is_first = vocab_.add_space_prefix;
  for (const Token token : tokens) {
    CheckToken(token);
    if (!IsShown(token, special)) continue;
    const bool is_control = type(token) == TokenType::kControl;
    const std::string& piece = Shown(token, special);
    const bool strip = is_first && !is_control && type(token) != TokenType::kByte && piece.starts_with(' ');
    text += std::string_view(piece).substr(strip ? 1 : 0);
    is_first = is_control && vocab_.add_space_prefix;
  }
  return text;
}

}  // namespace assay
