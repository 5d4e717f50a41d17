#define PCRE2_CODE_UNIT_WIDTH 8
#include "chat/jinja/char_class.h"

#include <pcre2.h>

#include <string>

#include "base/error.h"
#include "chat/jinja/py_string.h"

namespace assay::jinja {

void CharSet::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

CharSet::CharSet(const char* expression) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED,
                            &error, &offset, nullptr));
  if (code_ == nullptr) Fail(ErrorKind::kInternal, "PCRE2 does not know {}: error {}", expression, error);
  for (uint32_t code = 0; code < ascii_.size(); ++code) ascii_[code] = Matches(code);
}

bool CharSet::Has(uint32_t code) const { return code < ascii_.size() ? ascii_[code] : Matches(code); }

bool CharSet::Matches(uint32_t code) const {
  std::string text;
  AppendChar(text, code);
  auto* compiled = static_cast<pcre2_code*>(code_.get());
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  const int found = pcre2_match(compiled, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, PCRE2_NO_UTF_CHECK,
                                match, nullptr);
  pcre2_match_data_free(match);
  return found >= 0;
}

}  // namespace assay::jinja
