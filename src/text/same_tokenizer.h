#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace assay {

// Throws kUsage when the vocabularies differ, showing the first difference. `a` and `b` name the models.
void RequireSameTokenizer(const Tokenizer& a, std::string_view a_name, const Tokenizer& b, std::string_view b_name);

// Throws kUsage when a model of `draft`'s vocabulary cannot guess for one of `target`'s: ids that both use have to
// stand for the same pieces, and texts have to begin alike. Ids that one of them lacks or only pads its vocabulary with
// do not matter, up to 128 of them on either side (llama.cpp's limit). Returns what the user should know of such ids,
// one line; empty when there are none.
std::string RequireDraftVocabulary(const Tokenizer& target, std::string_view target_name, const Tokenizer& draft,
                                   std::string_view draft_name);

// The same 128 bits (32 hex digits) for tokenizers that are the same by RequireSameTokenizer(), also on another
// machine.
std::string TokenizerDigest(const Tokenizer& tokenizer);

// Whether tokenizers that are the same by RequireSameTokenizer() may still cut a text into other ids: rules of other
// names may be the same rules.
bool MayReadOtherwise(const Tokenizer& a, const Tokenizer& b);

}  // namespace assay
