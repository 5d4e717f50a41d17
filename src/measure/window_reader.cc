#include <algorithm>
#include <string>

#include "base/error.h"
#include "measure/perplexity.h"

namespace assay {
namespace {

// Text for one call of the tokenizer: large enough to be quick, small beside the model.
constexpr size_t kPieceBytes = 64 << 10;

// A digit, an ASCII letter, or the first byte of U+5000 to U+8FFF, which are all Chinese characters. Every
// pre-tokenizer begins a new piece where one of these follows a line feed: words take no line feed in front, and runs
// of white space end before a letter.
bool BeginsWord(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= 0xE5 && c <= 0xE8);
}

// The first place at or after `from` where a line feed ends and a word begins, or npos.
size_t FindCut(std::string_view text, size_t from) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && BeginsWord(static_cast<unsigned char>(text[at + 1]))) return at + 1;
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
