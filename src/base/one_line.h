#pragma once

#include <string>
#include <string_view>

namespace assay {

// The text as one line that a terminal shows as it is: line feeds become spaces; control characters (C0, C1, DEL),
// marks that change the direction or are not seen, and bytes that are not UTF-8 become question marks. Names of files,
// and what files say of themselves, may hold all of that.
std::string OneLine(std::string_view text);

bool IsUtf8(std::string_view text);

}  // namespace assay
