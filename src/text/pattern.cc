#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>

#include <array>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

constexpr uint32_t kMostSteps = 1'000'000;  // some milliseconds; a name of a tensor needs some hundred
constexpr uint32_t kMostKibibytes = 16 * 1024;

struct FreeMatch {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string Reason(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Enough of an expression of any length to know it again.
std::string Shown(std::string_view pattern) {
  constexpr size_t kShown = 60;
  return pattern.size() <= kShown ? std::string(pattern) : std::string(pattern.substr(0, kShown)) + "...";
}

}  // namespace

void Pattern::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Pattern::Pattern(std::string pattern) : pattern_(std::move(pattern)) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern_.data()), pattern_.size(), 0, &error, &offset, nullptr));
  if (code_ == nullptr) {
    Fail(ErrorKind::kUsage, "'{}' is not a regular expression: {} at {}; correct it", Shown(pattern_), Reason(error),
         offset);
  }
}

bool Pattern::FindsItselfIn(std::string_view text) const {
  auto* code = static_cast<pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_context, FreeMatch> context(pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create_from_pattern(code, nullptr));
  pcre2_set_match_limit(context.get(), kMostSteps);
  pcre2_set_heap_limit(context.get(), kMostKibibytes);
  const int found =
      pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, match.get(), context.get());
  if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
    Fail(ErrorKind::kUsage, "'{}' takes too long to look for in '{}': {}; write it simpler", Shown(pattern_),
         Shown(text), Reason(found));
  }
  return found >= 0;
}

}  // namespace assay
