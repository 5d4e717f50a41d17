#include "measure/text_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace assay {
namespace {

// Text has none; UTF-16 of ASCII is half of them.
bool HasManyNuls(std::string_view text) {
  constexpr size_t kSample = 64 << 10;
  const std::string_view sample = text.substr(0, kSample);
  return static_cast<size_t>(std::ranges::count(sample, '\0')) * 10 > sample.size();
}

}  // namespace

std::vector<std::string> CheckText(std::string_view text, std::string_view source) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") ||
      text.starts_with(std::string_view("\0\0\xFE\xFF", 4)) || HasManyNuls(text)) {
    Fail(ErrorKind::kBadFile, "{}: this is UTF-16 or no text; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)", source);
  }
  std::vector<std::string> warnings;
  if (text.starts_with("\xEF\xBB\xBF")) {
    warnings.push_back(fmt::format("{}: begins with a byte order mark, which is scored as text; remove it", source));
  }
  size_t bad = 0, first = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = static_cast<unsigned char>(text[at]) < 0x80 ? 1 : Utf8CharLength(text, at);
    if (bytes == 0 && bad++ == 0) first = at;
    at += std::max<size_t>(bytes, 1);
  }
  if (bad > 0) {
    warnings.push_back(
        fmt::format("{}: {} of {} bytes ({:.2g} %) are not UTF-8, the first at offset {}: scored as they are", source,
                    bad, text.size(), 100.0 * static_cast<double>(bad) / static_cast<double>(text.size()), first));
  }
  return warnings;
}

bool HasCarriageReturns(std::string_view text) { return text.find("\r\n") != std::string_view::npos; }

}  // namespace assay
