#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "base/error.h"
#include "text/unicode_additions.h"
#include "text/utf8.h"

namespace assay {
namespace {

// Unicode's White_Space property as the inside of a character class. Hugging Face's engine means this by \s; PCRE2's \s
// differs (it has U+180E), so the patterns spell it out. @ stands for it.
constexpr std::string_view kSpace =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// Hugging Face's Punctuation: all that ASCII prints beside letters and digits, and what was punctuation in Unicode 8.
constexpr std::string_view kPunctuation =
    R"((?:(?![\x{61D}\x{9FD}\x{A76}\x{C77}\x{C84}\x{1B4E}\x{1B4F}\x{1B7D}-\x{1B7F}\x{2E43}-\x{2E4F}\x{2E52}-\x{2E5D}\x{10EAD}\x{10F55}-\x{10F59}\x{10F86}-\x{10F89}\x{1144B}-\x{1144F}\x{1145A}-\x{1145D}\x{11660}-\x{1166C}\x{116B9}\x{1183B}\x{11944}-\x{11946}\x{119E2}\x{11A3F}-\x{11A46}\x{11A9A}-\x{11AA2}\x{11C41}-\x{11C45}\x{11C70}\x{11C71}\x{11EF7}\x{11EF8}\x{11FFF}\x{12FF1}\x{12FF2}\x{16E97}-\x{16E9A}\x{16FE2}\x{1E95E}\x{1E95F}\x{1B4E}-\x{1B4F}\x{1B7F}\x{10D6E}\x{113D4}-\x{113D5}\x{113D7}-\x{113D8}\x{11B00}-\x{11B09}\x{11BE1}\x{11F43}-\x{11F4F}\x{16D6D}-\x{16D6F}\x{1E5FF}])[\p{P}$+<=>^`|~\x{166D}\x{111C9}]))";

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

const PreTokenizerFamily& FindFamily(std::string_view name, std::string_view source) {
  if (const PreTokenizerFamily* family = FindPreTokenizerFamily(name)) return *family;
  std::vector<std::string_view> known;
  for (const PreTokenizerFamily& family : PreTokenizerFamilies()) known.push_back(family.names);
  Fail(ErrorKind::kUnsupported, "{}: unknown pre-tokenizer \"{}\" (tokenizer.ggml.pre); known: {}", source, name,
       fmt::join(known, " "));
}

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  std::string message;
  for (size_t i = 0; i < sizeof buffer && buffer[i] != 0; ++i) message.push_back(static_cast<char>(buffer[i]));
  return message;
}

PCRE2_SPTR Subject(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// The pattern with its short forms spelled out: @, %, and properties as newer versions of Unicode have them.
std::string SpellOut(std::string_view text) {
  std::string pattern;
  bool in_class = false;
  while (!text.empty()) {
    size_t size = text[0] == '\\' ? 2 : 1;
    if (text.starts_with("\\p{")) {
      size = text.find('}') + 1;
      const std::string_view property = text.substr(0, size);
      const std::string_view additions = UnicodeAdditions(property.substr(3, size - 4));
      pattern += fmt::format("{}{}{}{}", in_class ? "" : "[", property, additions, in_class ? "" : "]");
    } else if (text[0] == '@') {
      pattern += kSpace;
    } else if (text[0] == '%') {
      pattern += kPunctuation;
    } else {
      if (text[0] == '[') in_class = true;
      if (text[0] == ']') in_class = false;
      pattern += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return pattern;
}

pcre2_code* Compile(std::string_view text) {
  const std::string pattern = SpellOut(text);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(Subject(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (code == nullptr) {
    Fail(ErrorKind::kInternal, "this PCRE2 rejects the pre-tokenizer's pattern {} at {}: {}", pattern, offset,
         PcreMessage(error));
  }
  // A PCRE2 without a JIT compiler refuses here and interprets later, with the same result.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return code;
}

// The text with U+FFFD for each byte that is not part of a well-formed character, or "" when there is none; `repairs`
// gets the places in the result.
std::string RepairUtf8(std::string_view text, std::vector<size_t>& repairs) {
  std::string repaired;
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8CharLength(text, i);
    if (length == 0) {
      if (repairs.empty()) repaired = text.substr(0, i);
      repairs.push_back(repaired.size());
      repaired += kReplacement;
    } else if (!repairs.empty()) {
      repaired += text.substr(i, length);
    }
    i += std::max<size_t>(length, 1);
  }
  return repaired;
}

}  // namespace

void PcreDeleter::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void PcreDeleter::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }
void PcreDeleter::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }

PreTokenizer::PreTokenizer(std::string_view name, std::string_view source) {
  const PreTokenizerFamily& family = FindFamily(name, source);
  takes_whole_pieces_ = family.takes_whole_pieces;
  for (const SplitRule& rule : family.rules) {
    if (!rule.pattern.empty()) steps_.push_back({{Compile(rule.pattern), PcreDeleter()}, rule.matches});
  }
  context_.reset(pcre2_match_context_create(nullptr));
  if (context_ == nullptr) throw std::bad_alloc();
  // PCRE2's default limits guard against patterns that explode. These do not (no nested repeats that give back: the
  // work is linear in the piece), but a megabyte of spaces is more steps than the defaults allow.
  pcre2_set_match_limit(context_.get(), UINT32_MAX);
  pcre2_set_depth_limit(context_.get(), UINT32_MAX);
  pcre2_set_heap_limit(context_.get(), UINT32_MAX);
}

PreTokenizer::Pieces::Pieces(const PreTokenizer& rules, std::string_view text)
    : rules_(rules),
      text_(text),
      repaired_(RepairUtf8(text, repairs_)),
      subject_(repairs_.empty() ? text_ : std::string_view(repaired_)),
      data_(pcre2_match_data_create(1, nullptr)) {
  if (data_ == nullptr) throw std::bad_alloc();
  Enter(0, 0, subject_.size());
}

bool PreTokenizer::Pieces::Next(std::string_view& piece) {
  for (;;) {
    Level& level = levels_[depth_];
    if (level.position == level.end) {
      if (depth_ == 0) return false;
      --depth_;
      continue;
    }
    const size_t begin = level.position;
    level.position = depth_ < rules_.steps_.size() ? NextCut(depth_) : level.end;
    if (depth_ + 1 >= rules_.steps_.size()) {
      piece = TextOf(begin, level.position);
      return true;
    }
    Enter(depth_ + 1, begin, level.position);
  }
}

void PreTokenizer::Pieces::Enter(size_t depth, size_t begin, size_t end) {
  depth_ = depth;
  levels_[depth] = {.begin = begin, .end = end, .position = begin, .match = begin, .match_end = begin};
  if (depth < rules_.steps_.size()) FindMatch(depth, begin);
}

// Where the rule cuts its piece next, behind the position.
size_t PreTokenizer::Pieces::NextCut(size_t rule) {
  Level& level = levels_[rule];
  if (level.position < level.match) return level.match;  // what lies before the match
  switch (rules_.steps_[rule].matches) {
    case SplitRule::Matches::kWhole: {
      const size_t cut = level.match_end;
      FindMatch(rule, cut);
      return cut;
    }
    case SplitRule::Matches::kThrees: {
      const size_t count = level.digits % 3 == 0 ? 3 : level.digits % 3;
      const size_t cut = SkipCharacters(level.match, count);
      level.match = cut;
      level.digits -= count;
      if (level.digits == 0) FindMatch(rule, cut);
      return cut;
    }
    case SplitRule::Matches::kAtThrees: {
      level.match = SkipCharacters(level.match, 3);
      level.digits -= 3;
      if (level.digits == 0) FindMatch(rule, level.match);
      return level.match;
    }
  }
  return level.end;
}

// Sets match, match_end and digits; match is the piece's end when there is none from `from` on.
void PreTokenizer::Pieces::FindMatch(size_t rule, size_t from) {
  Level& level = levels_[rule];
  const Rule& step = rules_.steps_[rule];
  do {
    level.match = level.match_end = level.end;
    if (from == level.end) return;
    const auto match = [&](uint32_t options) {
      return pcre2_match(step.code.get(), Subject(subject_.substr(level.begin)), level.end - level.begin,
                         from - level.begin, PCRE2_NO_UTF_CHECK | options, data_.get(), rules_.context_.get());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0) Fail(ErrorKind::kInternal, "pre-tokenizer at byte {}: {}", text_position_, PcreMessage(result));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data_.get());
    level.match = level.begin + span[0];
    level.match_end = from = level.begin + span[1];
    if (step.matches == SplitRule::Matches::kWhole) return;
    level.digits = CountCharacters(level.match, level.match_end);
    if (step.matches == SplitRule::Matches::kThrees) return;
    level.match = SkipCharacters(level.match, level.digits % 3);
    level.digits -= level.digits % 3;
  } while (level.digits == 0);
}

size_t PreTokenizer::Pieces::SkipCharacters(size_t position, size_t count) const {
  for (; count > 0; --count) position += Utf8CharLength(subject_, position);
  return position;
}

size_t PreTokenizer::Pieces::CountCharacters(size_t begin, size_t end) const {
  size_t count = 0;
  for (; begin < end; begin += Utf8CharLength(subject_, begin)) ++count;
  return count;
}

// What the text has for the next part of the subject.
std::string_view PreTokenizer::Pieces::TextOf(size_t begin, size_t end) {
  size_t size = end - begin;
  for (; next_repair_ < repairs_.size() && repairs_[next_repair_] < end; ++next_repair_)
    size -= kReplacement.size() - 1;
  const std::string_view piece = text_.substr(text_position_, size);
  text_position_ += size;
  return piece;
}

}  // namespace assay
