#include <algorithm>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "measure/perplexity.h"
#include "text/utf8.h"

namespace assay {
namespace {

// Text for one call of the tokenizer: large enough to be quick, small beside the model.
constexpr size_t kPieceBytes = 64 << 10;

// A character of the Basic Multilingual Plane's scripts with many texts; 0 for others and for damaged ones.
uint32_t CodeAt(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t bytes = Utf8CharLength(text, at);
  if (bytes == 1) return byte(at);
  if (bytes == 2) return (byte(at) & 0x1FU) << 6 | (byte(at + 1) & 0x3FU);
  if (bytes == 3) return (byte(at) & 0x0FU) << 12 | (byte(at + 1) & 0x3FU) << 6 | (byte(at + 2) & 0x3FU);
  return 0;
}

struct Range {
  uint32_t first, last;
};

// Ranges of letters (categories Lu, Ll, Lo) and digits without a gap, a mark or a sign in them.
constexpr Range kWordBegins[] = {
    {'0', '9'},       {'A', 'Z'},       {'a', 'z'},       {0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x17F},
    {0x391, 0x3A1},   {0x3A3, 0x3E1},   {0x400, 0x481},   {0x531, 0x556},   {0x561, 0x586},   {0x5D0, 0x5EA},
    {0x620, 0x63F},   {0x641, 0x64A},   {0x905, 0x939},   {0x985, 0x98C},   {0xB85, 0xB8A},   {0xE01, 0xE30},
    {0x10D0, 0x10F0}, {0x3041, 0x3096}, {0x30A1, 0x30FA}, {0x3400, 0x4DBF}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3},
};

// Every pre-tokenizer begins a new piece where a letter or a digit follows a line feed: words take no line feed in
// front, and runs of white space end before a letter.
bool BeginsWord(std::string_view text, size_t at) {
  const uint32_t code = CodeAt(text, at);
  return std::ranges::any_of(kWordBegins, [code](const Range& r) { return code >= r.first && code <= r.last; });
}

// The first place at or after `from` where a line feed ends and a word begins, or npos.
size_t FindCut(std::string_view text, size_t from) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && BeginsWord(text, at + 1)) return at + 1;
  }
  return std::string_view::npos;
}

// SentencePiece looks for merges across the whole text, and puts a space before each text that it is given.
bool IsCuttable(const Tokenizer& tokenizer) {
  if (tokenizer.vocab().model == "llama" && tokenizer.vocab().add_space_prefix) return false;
  for (Token token = 0; token < tokenizer.size(); ++token) {
    if (FindCut(tokenizer.TokenBytes(token, true), 0) != std::string_view::npos) return false;
  }
  return true;
}

bool AddsBos(const Tokenizer& tokenizer) { return tokenizer.vocab().add_bos && tokenizer.vocab().bos.has_value(); }

}  // namespace

WindowReader::WindowReader(const Tokenizer& tokenizer, std::string_view text, int context)
    : tokenizer_(tokenizer), text_(text), context_(context), cuttable_(IsCuttable(tokenizer)) {
  if (AddsBos(tokenizer)) {
    pending_.push_back(*tokenizer.vocab().bos);
    tokens_read_ = 1;
  }
}

size_t WindowReader::PieceEnd() const {
  if (!cuttable_ || text_.size() - offset_ <= kPieceBytes) return text_.size();
  const size_t cut = FindCut(text_, offset_ + kPieceBytes);
  return cut == std::string_view::npos ? text_.size() : cut;
}

bool WindowReader::Next(std::vector<Token>& window) {
  const auto wanted = static_cast<size_t>(context_);
  while (pending_.size() - pending_begin_ < wanted) {
    if (offset_ == text_.size()) return false;
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(pending_begin_));
    pending_begin_ = 0;
    const size_t end = PieceEnd();
    const std::vector<Token> piece = tokenizer_.Encode(text_.substr(offset_, end - offset_), false);
    pending_.insert(pending_.end(), piece.begin(), piece.end());
    tokens_read_ += static_cast<int64_t>(piece.size());
    offset_ = end;
  }
  const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(pending_begin_);
  window.assign(begin, begin + context_);
  if (AddsBos(tokenizer_)) window.front() = *tokenizer_.vocab().bos;
  pending_begin_ += wanted;
  return true;
}

double WindowReader::progress() const {
  if (tokens_read_ == 0) return 0.0;
  const auto waiting = static_cast<int64_t>(pending_.size() - pending_begin_);
  return static_cast<double>(offset_) / static_cast<double>(text_.size()) *
         static_cast<double>(tokens_read_ - waiting) / static_cast<double>(tokens_read_);
}

}  // namespace assay
