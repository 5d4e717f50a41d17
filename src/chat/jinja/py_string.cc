#include "chat/jinja/py_string.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "chat/jinja/case_table.h"
#include "chat/jinja/char_class.h"
#include "text/utf8.h"

namespace assay::jinja {
namespace {

constexpr uint32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2;

template <typename Table>
const auto* FindMapping(const Table& table, uint32_t code) {
  const auto found = std::lower_bound(std::begin(table), std::end(table), code,
                                      [](const auto& row, uint32_t wanted) { return row.last < wanted; });
  return found != std::end(table) && found->first <= code ? &*found : nullptr;
}

// The code under a table of runs: those of `step` 2 hold every other character.
uint32_t Mapped(std::span<const CaseRun> runs, uint32_t code) {
  const CaseRun* run = FindMapping(runs, code);
  if (run == nullptr || (run->step == 2 && (code - run->first) % 2 != 0)) return code;
  return static_cast<uint32_t>(static_cast<int64_t>(code) + run->delta);
}

bool AppendSpecial(std::string& out, std::span<const CaseSpecial> specials, uint32_t code) {
  const auto found = std::lower_bound(specials.begin(), specials.end(), code,
                                      [](const CaseSpecial& row, uint32_t wanted) { return row.code < wanted; });
  if (found == specials.end() || found->code != code) return false;
  out += found->text;
  return true;
}

void AppendUpper(std::string& out, uint32_t code) {
  if (!AppendSpecial(out, UpperSpecials(), code)) AppendChar(out, Mapped(UpperRuns(), code));
}

void AppendTitle(std::string& out, uint32_t code) {
  if (!AppendSpecial(out, TitleSpecials(), code)) AppendUpper(out, code);
}

// Whether a sigma at [begin, end) ends a word: a letter before it, none after it.
bool IsFinalSigma(std::string_view text, size_t begin, size_t end) {
  size_t before = begin;
  bool cased_before = false;
  while (before > 0 && !cased_before) {
    do --before;
    while ((static_cast<uint8_t>(text[before]) & 0xC0) == 0x80);
    const uint32_t code = Utf8CodePoint(text, before);
    if (Is(CharClass::kIgnorable, code)) continue;
    if (!Is(CharClass::kCased, code)) return false;
    cased_before = true;
  }
  if (!cased_before) return false;
  for (size_t after = end; after < text.size(); after += CharBytes(text[after])) {
    const uint32_t code = Utf8CodePoint(text, after);
    if (!Is(CharClass::kIgnorable, code)) return !Is(CharClass::kCased, code);
  }
  return true;
}

void AppendLower(std::string& out, std::string_view text, size_t position) {
  const uint32_t code = Utf8CodePoint(text, position);
  if (code == kCapitalSigma) {
    AppendChar(out, IsFinalSigma(text, position, position + CharBytes(text[position])) ? kFinalSigma : kSmallSigma);
  } else if (!AppendSpecial(out, LowerSpecials(), code)) {
    AppendChar(out, Mapped(LowerRuns(), code));
  }
}

template <typename Append>
std::string MapChars(std::string_view text, const Append& append) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) append(out, i);
  return out;
}

size_t PreviousChar(std::string_view text, size_t position) {
  do --position;
  while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xC0) == 0x80);
  return position;
}

bool EndsLine(uint32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

// Digits without the underscores that Python allows between them; nothing where they stand elsewhere.
std::optional<std::string> WithoutUnderscores(std::string_view digits) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] != '_') {
      out += digits[i];
    } else if (i == 0 || i + 1 == digits.size() || digits[i - 1] == '_') {
      return std::nullopt;
    }
  }
  return out;
}

int BaseOfPrefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 0;
  }
}

}  // namespace

size_t CharBytes(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

void AppendChar(std::string& text, uint32_t code) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      add(0xE0 | code >> 12);
    } else {
      add(0xF0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3F));
    }
    add(0x80 | (code >> 6 & 0x3F));
  }
  add(0x80 | (code & 0x3F));
}

size_t CountChars(std::string_view text) {
  size_t chars = 0;
  for (const char c : text) chars += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? 1 : 0;
  return chars;
}

size_t ByteOffset(std::string_view text, size_t chars) {
  size_t offset = 0;
  while (chars > 0 && offset < text.size()) {
    offset += CharBytes(text[offset]);
    --chars;
  }
  return offset;
}

bool IsSpace(uint32_t code) {
  if (code < 0x80) return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsPrintable(uint32_t code) {
  if (code < 0x7F) return code >= 0x20;
  static const CharSet kHidden(R"([\p{C}\p{Z}])");
  return !kHidden.Has(code);
}

bool Is(CharClass wanted, uint32_t code) {
  // In the order of CharClass. Digits that are not decimal: superscripts, circled ones and the like.
  static const std::array<CharSet, 10> kSets = {
      CharSet(R"(\p{L})"),
      CharSet(R"(\p{Nd})"),
      CharSet(R"([\p{Nd}\x{B2}\x{B3}\x{B9}\x{1369}-\x{1371}\x{19DA}\x{2070}\x{2074}-\x{2079}\x{2080}-\x{2089})"
              R"(\x{2460}-\x{2468}\x{2474}-\x{247C}\x{2488}-\x{2490}\x{24EA}\x{24F5}-\x{24FD}\x{24FF}\x{2776}-\x{277E})"
              R"(\x{2780}-\x{2788}\x{278A}-\x{2792}\x{10A40}-\x{10A43}\x{10E60}-\x{10E68}\x{11052}-\x{1105A})"
              R"(\x{1F100}-\x{1F10A}])"),
      CharSet(R"(\p{N})"),
      CharSet(R"(\p{Uppercase})"),
      CharSet(R"(\p{Lowercase})"),
      CharSet(R"(\p{Lt})"),
      CharSet(R"(\p{Cased})"),
      CharSet(R"(\p{Case_Ignorable})"),
      CharSet(R"([\p{L}\p{N}_])"),
  };
  return kSets[static_cast<size_t>(wanted)].Has(code);
}

bool IsCase(Budget& budget, std::string_view text, bool upper) {
  budget.ScanChars(text.size());
  bool some = false;
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) {
    const uint32_t code = Utf8CodePoint(text, i);
    if (Is(upper ? CharClass::kLower : CharClass::kUpper, code) || Is(CharClass::kTitle, code)) return false;
    some = some || Is(upper ? CharClass::kUpper : CharClass::kLower, code);
  }
  return some;
}

std::string Upper(std::string_view text) {
  return MapChars(text, [&](std::string& out, size_t i) { AppendUpper(out, Utf8CodePoint(text, i)); });
}

std::string Lower(std::string_view text) {
  return MapChars(text, [&](std::string& out, size_t i) { AppendLower(out, text, i); });
}

std::string Capitalize(std::string_view text) {
  return MapChars(text, [&](std::string& out, size_t i) {
    if (i == 0) {
      AppendTitle(out, Utf8CodePoint(text, i));
    } else {
      AppendLower(out, text, i);
    }
  });
}

std::string Title(std::string_view text) {
  bool inside = false;
  return MapChars(text, [&](std::string& out, size_t i) {
    const uint32_t code = Utf8CodePoint(text, i);
    if (inside) {
      AppendLower(out, text, i);
    } else {
      AppendTitle(out, code);
    }
    inside = Is(CharClass::kCased, code);
  });
}

std::string SwapCase(std::string_view text) {
  return MapChars(text, [&](std::string& out, size_t i) {
    const uint32_t code = Utf8CodePoint(text, i);
    if (Is(CharClass::kUpper, code)) {
      AppendLower(out, text, i);
    } else if (Is(CharClass::kLower, code)) {
      AppendUpper(out, code);
    } else {
      AppendChar(out, code);
    }
  });
}

size_t FindText(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found != nullptr ? static_cast<size_t>(static_cast<const char*>(found) - text.data()) : std::string_view::npos;
}

std::string_view Strip(std::string_view text, const std::optional<std::string_view>& chars, Sides sides) {
  const auto goes = [&](size_t position) {
    if (!chars) return IsSpace(Utf8CodePoint(text, position));
    return chars->find(text.substr(position, CharBytes(text[position]))) != std::string_view::npos;
  };
  while (sides.left && !text.empty() && goes(0)) text.remove_prefix(CharBytes(text[0]));
  while (sides.right && !text.empty()) {
    const size_t last = PreviousChar(text, text.size());
    if (!goes(last)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string_view> SplitSpace(std::string_view text, int64_t limit) {
  std::vector<std::string_view> pieces;
  while (true) {
    text = Strip(text, std::nullopt, {.left = true, .right = false});
    if (text.empty()) return pieces;
    if (limit >= 0 && static_cast<int64_t>(pieces.size()) == limit) break;
    size_t end = 0;
    while (end < text.size() && !IsSpace(Utf8CodePoint(text, end))) end += CharBytes(text[end]);
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  pieces.push_back(Strip(text, std::nullopt, {.left = false, .right = true}));
  return pieces;
}

std::vector<std::string_view> SplitSpaceFromRight(std::string_view text, int64_t limit) {
  std::vector<std::string_view> pieces;
  while (true) {
    text = Strip(text, std::nullopt, {.left = false, .right = true});
    if (text.empty()) break;
    if (limit >= 0 && static_cast<int64_t>(pieces.size()) == limit) {
      pieces.push_back(Strip(text, std::nullopt, {.left = true, .right = false}));
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t previous = PreviousChar(text, begin);
      if (IsSpace(Utf8CodePoint(text, previous))) break;
      begin = previous;
    }
    pieces.push_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> Split(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string_view> pieces;
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const size_t found = FindText(text, separator);
    if (found == std::string_view::npos) break;
    pieces.push_back(text.substr(0, found));
    text.remove_prefix(found + separator.size());
  }
  pieces.push_back(text);
  return pieces;
}

std::vector<std::string_view> SplitFromRight(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string_view> pieces;
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    pieces.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  pieces.push_back(text);
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t next = i + CharBytes(text[i]);
    if (!EndsLine(Utf8CodePoint(text, i))) {
      i = next;
      continue;
    }
    const size_t after = text.substr(i, 2) == "\r\n" ? next + 1 : next;
    lines.push_back(text.substr(begin, (keep_ends ? after : i) - begin));
    i = begin = after;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string Replace(Budget& budget, std::string_view text, std::string_view old, std::string_view fresh,
                    int64_t limit) {
  TextBuilder out(budget);
  size_t begin = 0;
  if (old.empty()) {  // before each character, and at the end
    for (int64_t done = 0; limit < 0 || done < limit; ++done) {
      out.Add(fresh);
      if (begin == text.size()) return out.Take();
      const size_t bytes = CharBytes(text[begin]);
      out.Add(text.substr(begin, bytes));
      begin += bytes;
    }
  }
  for (int64_t done = 0; !old.empty() && (limit < 0 || done < limit); ++done) {
    const size_t found = FindText(text, old, begin);
    if (found == std::string_view::npos) break;
    out.Add(text.substr(begin, found - begin));
    out.Add(fresh);
    begin = found + old.size();
  }
  out.Add(text.substr(begin));
  return out.Take();
}

std::string Repeat(Budget& budget, std::string_view text, int64_t times) {
  if (times <= 0 || text.empty()) return "";
  budget.Text(static_cast<uint64_t>(times) > budget.limits().bytes ? SIZE_MAX
                                                                   : text.size() * static_cast<size_t>(times));
  std::string out;
  out.reserve(text.size() * static_cast<size_t>(times));
  for (; times > 0; --times) out += text;
  return out;
}

std::string EscapeHtml(Budget& budget, std::string_view text) {
  budget.Text(text.size());
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string ReprText(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) {
    const uint32_t code = Utf8CodePoint(text, i);
    if (code == static_cast<uint32_t>(quote) || code == '\\') {
      out += '\\';
      out += text[i];
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    } else if (IsPrintable(code)) {
      out += text.substr(i, CharBytes(text[i]));
    } else {
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
  }
  return out + quote;
}

std::string ReprFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that give the value back; where the point goes is Python's own rule.
  std::array<char, 32> buffer{};
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::fabs(value), std::chars_format::scientific);
  std::string_view scientific(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t mark = scientific.find('e');
  int exponent = 0;
  const size_t digits_of_exponent = mark + (scientific[mark + 1] == '+' ? 2 : 1);
  std::from_chars(scientific.data() + digits_of_exponent, end, exponent);
  std::string digits(1, scientific[0]);
  if (mark > 2) digits += scientific.substr(2, mark - 2);
  std::string out = std::signbit(value) ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (count > 1) (out += '.') += digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out.append("0.").append(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<int64_t> ParseInt(std::string_view text, int base) {
  text = Strip(text, std::nullopt);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const int prefixed = BaseOfPrefix(text);
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
    base = prefixed;
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos)
      return std::nullopt;
  }
  if (base < 2 || base > 36) return std::nullopt;
  const std::optional<std::string> digits = WithoutUnderscores(text);
  if (!digits || digits->empty() || digits->starts_with('-')) return std::nullopt;
  int64_t value = 0;
  const char* last = digits->data() + digits->size();
  const std::string signed_digits = (negative ? "-" : "") + *digits;
  last = signed_digits.data() + signed_digits.size();
  const auto [end, error] = std::from_chars(signed_digits.data(), last, value, base);
  if (error == std::errc::result_out_of_range) throw TemplateError("an integer beyond 64 bits");
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

std::optional<double> ParseFloat(std::string_view text) {
  text = Strip(text, std::nullopt);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('-') || text.starts_with('+')) return std::nullopt;
  const std::optional<std::string> digits = WithoutUnderscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  double value = 0;
  const char* last = digits->data() + digits->size();
  const auto [end, error] = std::from_chars(digits->data(), last, value);
  if (end != last || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // Python's float() rounds to infinity or to zero
    const size_t mark = digits->find_first_of("eE");
    value = mark != std::string::npos && digits->substr(mark + 1).starts_with('-') ? 0.0 : HUGE_VAL;
  }
  if (digits->find('(') != std::string::npos) return std::nullopt;  // C's nan(...)
  return negative ? -value : value;
}

std::pair<size_t, size_t> SliceRange(const SliceBounds& bounds, size_t size) {
  const auto count = static_cast<int64_t>(size);
  const auto place = [&](int64_t index) { return std::clamp<int64_t>(index < 0 ? index + count : index, 0, count); };
  const int64_t start = place(bounds.start.value_or(0)), stop = place(bounds.stop.value_or(count));
  return {static_cast<size_t>(start), static_cast<size_t>(std::max(start, stop))};
}

std::vector<size_t> SliceIndices(const SliceBounds& bounds, size_t size) {
  const auto count = static_cast<int64_t>(size);
  const bool back = bounds.step < 0;
  const int64_t lowest = back ? -1 : 0, highest = back ? count - 1 : count;
  const auto place = [&](const std::optional<int64_t>& index, int64_t otherwise) {
    if (!index) return otherwise;
    return *index < 0 ? std::max(*index < -count ? INT64_MIN : *index + count, lowest) : std::min(*index, highest);
  };
  const int64_t start = place(bounds.start, back ? highest : lowest);
  const int64_t stop = place(bounds.stop, back ? lowest : highest);
  std::vector<size_t> indices;
  for (int64_t i = start; back ? i > stop : i < stop;) {
    indices.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, bounds.step, &i)) break;
  }
  return indices;
}

}  // namespace assay::jinja
