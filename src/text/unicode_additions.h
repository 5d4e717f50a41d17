#pragma once

#include <string_view>

namespace assay {

// The characters that Unicode 15 and 16 added to a property (L, Nd, sc:Han, ...), as ranges inside a pattern's
// character class: Hugging Face's tokenizers know them, PCRE2 10.42 does not. Empty for a property that got none.
std::string_view UnicodeAdditions(std::string_view property);

}  // namespace assay
