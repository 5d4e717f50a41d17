#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

// A look at a text before it is measured: text in another encoding gives tokens and figures all the same, and nobody
// sees that they are of another text. Throws kBadFile for UTF-16 and UTF-32. The lines that it returns are warnings: a
// byte order mark, and bytes that are not UTF-8 with their share and the first one's offset.
std::vector<std::string> CheckText(std::string_view text, std::string_view source);

// Whether lines end in CR LF, as on Windows: the carriage returns are tokens of their own. Worth a note.
bool HasCarriageReturns(std::string_view text);

}  // namespace assay
