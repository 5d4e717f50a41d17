#pragma once

#include <string_view>

#include "text/tokenizer.h"

namespace assay {

// Throws kUsage when the vocabularies differ, showing the first difference. `a` and `b` name the models.
void RequireSameTokenizer(const Tokenizer& a, std::string_view a_name, const Tokenizer& b, std::string_view b_name);

}  // namespace assay
