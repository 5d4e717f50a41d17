#include "measure/window_reader.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "text/utf8.h"

namespace assay {
namespace {

// So many tokens in a row that two readings share are no chance: from there on both go on alike.
constexpr size_t kSharedTokens = 32;

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
  if (Utf8CharLength(text, at) == 0) return false;
  const uint32_t code = Utf8CodePoint(text, at);
  return std::ranges::any_of(kWordBegins, [code](const Range& r) { return code >= r.first && code <= r.last; });
}

// The first place at or after `from` where a line feed ends and a word begins, or npos.
size_t FindCut(std::string_view text, size_t from = 0) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && BeginsWord(text, at + 1)) return at + 1;
  }
  return std::string_view::npos;
}

// SentencePiece puts a space before each text that it is given.
bool AddsSpace(const Tokenizer& tokenizer) {
  return tokenizer.vocab().model == "llama" && tokenizer.vocab().add_space_prefix;
}

// SentencePiece looks for merges across the whole text, and a token of the vocabulary may hold a cut.
bool IsCuttable(const Tokenizer& tokenizer) {
  if (AddsSpace(tokenizer)) return false;
  for (Token token = 0; token < tokenizer.size(); ++token) {
    if (FindCut(tokenizer.TokenBytes(token, true)) != std::string_view::npos) return false;
  }
  return true;
}

// The last place at or before `at` where a character begins.
size_t CharacterBegin(std::string_view text, size_t at) {
  constexpr size_t kLongestCharacter = 4;
  for (size_t back = 0; back < std::min(kLongestCharacter, at); ++back) {
    if ((static_cast<unsigned char>(text[at - back]) & 0xC0) != 0x80) return at - back;
  }
  return at;
}

// Numbers of tokens before which two readings have been the same for kSharedTokens.
struct Meeting {
  size_t here = 0, there = 0;
};

// `places` is where each token begins, and the end; those of `there` may be unknown (empty).
std::optional<Meeting> FindMeeting(std::span<const Token> here, std::span<const size_t> places,
                                   std::span<const Token> there, std::span<const size_t> there_places) {
  if (there_places.empty()) return std::nullopt;
  size_t shared = 0;
  for (size_t i = 0, j = 0; i < here.size() && j < there.size();) {
    const size_t place = places[i], there_place = there_places[j];
    shared = place == there_place && here[i] == there[j] ? shared + 1 : 0;
    if (place <= there_place) ++i;
    if (there_place <= place) ++j;
    if (shared == kSharedTokens) return Meeting{i, j};
  }
  return std::nullopt;
}

}  // namespace

WindowReader::WindowReader(const Tokenizer& tokenizer, std::string_view text, int context, Sizes sizes)
    : tokenizer_(tokenizer), text_(text), context_(context), sizes_(sizes), cuttable_(IsCuttable(tokenizer)) {
  if (const std::optional<Token> bos = tokenizer.vocab().first_token()) {
    pending_.push_back(*bos);
    tokens_read_ = 1;
  }
}

WindowReader::Stretch WindowReader::Read(size_t begin) const {
  Stretch stretch{.begin = begin, .end = text_.size()};
  if (text_.size() - begin > sizes_.least) {
    const std::string_view part = text_.substr(begin, sizes_.most);
    const size_t cut = cuttable_ ? FindCut(part, sizes_.least) : std::string_view::npos;
    if (cut != std::string_view::npos) {
      stretch.end = begin + cut;
    } else if (begin + part.size() < text_.size()) {
      stretch.end = CharacterBegin(text_, begin + part.size());
      stretch.cut = false;
    }
  }
  stretch.tokens = Encode(begin, stretch.end);
  return stretch;
}

// Where a space is put before every text, the one at the beginning of a later stretch is left to that.
bool WindowReader::HasOwnSpace(size_t begin) const { return begin > 0 && AddsSpace(tokenizer_) && text_[begin] == ' '; }

std::vector<Token> WindowReader::Encode(size_t begin, size_t end) const {
  const size_t from = HasOwnSpace(begin) ? begin + 1 : begin;
  return tokenizer_.Encode(text_.substr(from, end - from), false);
}

// Where each token begins in the text, and the end; empty when the tokens do not spell the text (an unknown token).
std::vector<size_t> WindowReader::Places(const Stretch& stretch) const {
  std::vector<size_t> places;
  places.reserve(stretch.tokens.size() + 1);
  size_t at = stretch.begin;
  for (const Token token : stretch.tokens) {
    places.push_back(at);
    at += tokenizer_.TokenBytes(token, /*special=*/true).size();
    if (places.size() == 1 && AddsSpace(tokenizer_) && !HasOwnSpace(stretch.begin)) --at;
  }
  places.push_back(at);
  if (at != stretch.end) places.clear();
  return places;
}

// Gives out a stretch's tokens up to its `end`-th.
void WindowReader::Take(Stretch& stretch, size_t end) {
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(pending_begin_));
  pending_begin_ = 0;
  const auto at = [&](size_t i) { return stretch.tokens.begin() + static_cast<std::ptrdiff_t>(i); };
  pending_.insert(pending_.end(), at(stretch.first), at(end));
  tokens_read_ += static_cast<int64_t>(end - stretch.first);
  stretch.first = end;
}

void WindowReader::Advance() {
  if (stretch_.first == stretch_.tokens.size()) stretch_ = Read(stretch_.end);
  if (stretch_.cut) {
    Take(stretch_, stretch_.tokens.size());
  } else {
    CrossOver();
  }
}

// Without a way over, the rest of the text is read at once.
void WindowReader::TakeRest() {
  Stretch rest{.begin = stretch_.begin, .end = text_.size()};
  rest.tokens = Encode(rest.begin, rest.end);
  rest.first = stretch_.first;
  stretch_ = std::move(rest);
  Take(stretch_, stretch_.tokens.size());
}

// From a stretch that ends anywhere to the next one.
void WindowReader::CrossOver() {
  const std::vector<size_t> places = Places(stretch_);
  if (places.empty()) return TakeRest();
  const size_t wanted = stretch_.end - std::min(sizes_.overlap, stretch_.end - places[stretch_.first]);
  const auto from = static_cast<size_t>(std::ranges::lower_bound(places, wanted) - places.begin());
  if (from <= stretch_.first || from >= stretch_.tokens.size()) return TakeRest();  // tokens longer than the overlap
  Stretch next = Read(places[from]);
  std::optional<Meeting> meeting =
      FindMeeting(std::span(stretch_.tokens).subspan(from), std::span(places).subspan(from), next.tokens, Places(next));
  if (!meeting.has_value()) {
    ++joins_;
    meeting = Meeting{};
  }
  Take(stretch_, from + meeting->here);
  next.first = meeting->there;
  stretch_ = std::move(next);
}

bool WindowReader::Next(std::vector<Token>& window) {
  const auto wanted = static_cast<size_t>(context_);
  while (pending_.size() - pending_begin_ < wanted) {
    if (stretch_.end == text_.size() && stretch_.first == stretch_.tokens.size()) return false;
    Advance();
  }
  const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(pending_begin_);
  window.assign(begin, begin + context_);
  if (const std::optional<Token> bos = tokenizer_.vocab().first_token()) window.front() = *bos;
  pending_begin_ += wanted;
  return true;
}

double WindowReader::progress() const {
  if (tokens_read_ == 0) return 0.0;
  const auto waiting = static_cast<double>(pending_.size() - pending_begin_ + stretch_.tokens.size() - stretch_.first);
  const double given = static_cast<double>(tokens_read_) - static_cast<double>(pending_.size() - pending_begin_);
  return static_cast<double>(stretch_.end) / static_cast<double>(text_.size()) * given / (given + waiting);
}

}  // namespace assay
