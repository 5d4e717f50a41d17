#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace assay {
namespace {

// Unicode's White_Space property as the inside of a character class. Hugging Face's engine means this by \s; PCRE2's \s
// differs (it has U+180E), so the patterns below spell it out. @ stands for it.
constexpr std::string_view kSpace =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// The Split patterns of the families' tokenizer.json files. Two properties that the code relies on: every character can
// begin a match, and no pattern treats '#' otherwise than U+FFFD.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^@\p{L}\p{N}]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kQwen35Pattern =  // marks stay with their letters
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^@\p{L}\p{M}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^@\p{L}\p{N}]+[\r\n]*|[@]*[\r\n]+|[@]+(?![^@])|[@]+)";

struct Family {
  std::string_view name;
  std::string_view pattern;
  bool takes_whole_pieces;
};

constexpr std::array kFamilies = {
    Family{"qwen2", kQwen2Pattern, false},
    Family{"qwen35", kQwen35Pattern, false},
    Family{"llama-bpe", kLlama3Pattern, true},
    Family{"gpt-2", kGpt2Pattern, false},
    Family{"deepseek-r1-qwen", kQwen2Pattern, false},
    Family{"llama3", kLlama3Pattern, true},
    Family{"llama-v3", kLlama3Pattern, true},
    Family{"phi-2", kGpt2Pattern, false},
};

const Family& FindFamily(std::string_view name, std::string_view source) {
  std::vector<std::string_view> known;
  for (const Family& family : kFamilies) {
    if (family.name == name) return family;
    known.push_back(family.name);
  }
  Fail(ErrorKind::kUnsupported, "{}: unknown pre-tokenizer \"{}\" (tokenizer.ggml.pre); known: {}", source, name,
       fmt::join(known, ", "));
}

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  std::string message;
  for (size_t i = 0; i < sizeof buffer && buffer[i] != 0; ++i) message.push_back(static_cast<char>(buffer[i]));
  return message;
}

PCRE2_SPTR Subject(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

pcre2_code* Compile(const Family& family) {
  std::string pattern;
  for (const char c : family.pattern) {
    if (c == '@') {
      pattern += kSpace;
    } else {
      pattern += c;
    }
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(Subject(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
  if (code == nullptr) {
    Fail(ErrorKind::kInternal, "pre-tokenizer {}: PCRE2 rejects the pattern at {}: {}", family.name, offset,
         PcreMessage(error));
  }
  // A PCRE2 without a JIT compiler refuses here and interprets later, with the same result.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return code;
}

// The text with '#' for each byte that is not part of a well-formed character, or "" when there is none.
std::string RepairUtf8(std::string_view text) {
  std::string repaired;
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8CharLength(text, i);
    if (length == 0) {
      if (repaired.empty()) repaired = text;
      repaired[i] = '#';
    }
    i += length == 0 ? 1 : length;
  }
  return repaired;
}

}  // namespace

void PcreDeleter::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void PcreDeleter::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }
void PcreDeleter::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }

PreTokenizer::PreTokenizer(std::string_view name, std::string_view source) {
  const Family& family = FindFamily(name, source);
  takes_whole_pieces_ = family.takes_whole_pieces;
  code_.reset(Compile(family));
  context_.reset(pcre2_match_context_create(nullptr));
  if (context_ == nullptr) throw std::bad_alloc();
  // PCRE2's default limits guard against patterns that explode. These do not (no nested repeats: the work is linear in
  // the piece), but a megabyte of spaces is more steps than the defaults allow.
  pcre2_set_match_limit(context_.get(), UINT32_MAX);
  pcre2_set_depth_limit(context_.get(), UINT32_MAX);
  pcre2_set_heap_limit(context_.get(), UINT32_MAX);
}

PreTokenizer::Pieces::Pieces(const PreTokenizer& rules, std::string_view text)
    : rules_(rules),
      text_(text),
      repaired_(RepairUtf8(text)),
      subject_(repaired_.empty() ? text_ : std::string_view(repaired_)),
      data_(pcre2_match_data_create(1, nullptr)) {
  if (data_ == nullptr) throw std::bad_alloc();
}

bool PreTokenizer::Pieces::Next(std::string_view& piece) {
  if (position_ == text_.size()) return false;
  const auto match = [&](uint32_t options) {
    return pcre2_match(rules_.code_.get(), Subject(subject_), subject_.size(), position_, PCRE2_NO_UTF_CHECK | options,
                       data_.get(), rules_.context_.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result < 0) Fail(ErrorKind::kInternal, "pre-tokenizer at byte {}: {}", position_, PcreMessage(result));
  const size_t end = pcre2_get_ovector_pointer(data_.get())[1];
  piece = text_.substr(position_, end - position_);
  position_ = end;
  return true;
}

}  // namespace assay
