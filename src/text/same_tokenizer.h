#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace assay {

// Throws kUsage when the vocabularies differ, showing the first difference. `a` and `b` name the models.
void RequireSameTokenizer(const Tokenizer& a, std::string_view a_name, const Tokenizer& b, std::string_view b_name);

// The same 128 bits (32 hex digits) for tokenizers that pass that, also on another machine.
std::string TokenizerDigest(const Tokenizer& tokenizer);

// Whether tokenizers that passed that may still cut a text into other ids: rules of other names may be the same rules.
bool MayReadOtherwise(const Tokenizer& a, const Tokenizer& b);

}  // namespace assay
