#include "chat/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "chat/jinja/budget.h"
#include "chat/jinja/py_string.h"
#include "text/utf8.h"

namespace assay::jinja {
namespace {

// Line ends become \n, and the last one goes.
std::string Normalized(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

void RequireUtf8(std::string_view source) {
  for (size_t i = 0; i < source.size();) {
    const size_t bytes = Utf8CharLength(source, i);
    if (bytes == 0) throw TemplateError(fmt::format("byte {} is not UTF-8", i), 1);
    i += bytes;
  }
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
// Characters beyond ASCII are taken as letters.
bool IsNameChar(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  const int letter = (c | 0x20) - 'a';
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(Normalized(source)) {}

  std::vector<Token> Run() {
    while (position_ < source_.size()) Root();
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const { throw TemplateError(message, line_); }
  std::string_view Rest() const { return std::string_view(source_).substr(position_); }
  bool At(std::string_view text) const { return Rest().starts_with(text); }

  // Lines are counted by what is passed over.
  void Pass(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(position_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(position_ + bytes), '\n'));
    position_ += bytes;
  }
  void PassSpace() {
    while (position_ < source_.size() && IsSpace(Utf8CodePoint(source_, position_)))
      Pass(CharBytes(source_[position_]));
  }
  void Add(TokenKind kind, std::string text) {
    tokens_.push_back({.kind = kind, .text = std::move(text), .line = line_});
  }

  // Text up to the next tag, then the tag.
  void Root() {
    size_t tag = position_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) return Data(source_.size(), ' ', false);
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char after = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const char sign = after == '-' || after == '+' ? after : ' ';
    Data(tag, sign, kind == '{');
    Pass(sign == ' ' ? 2 : 3);
    if (kind == '#') return Comment();
    if (kind == '{') {
      Add(TokenKind::kVariableBegin, "");
      return Inside(false);
    }
    if (Raw()) return;
    Add(TokenKind::kBlockBegin, "");
    Inside(true);
  }

  // The text from here to `end`, where a tag with this sign begins.
  void Data(size_t end, char sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(position_, end - position_);
    const size_t all = text.size();
    if (end < source_.size()) {
      if (sign == '-') {
        text = Strip(text, std::nullopt, {.left = false, .right = true});
      } else if (sign != '+' && !is_variable) {
        text = WithoutIndent(text);
      }
    }
    if (!text.empty()) Add(TokenKind::kData, std::string(text));
    Pass(all);
  }

  // White space between the start of a line and a tag goes.
  std::string_view WithoutIndent(std::string_view text) const {
    const size_t newline = text.rfind('\n');
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !at_line_start_) return text;
    return Strip(text.substr(begin), std::nullopt).empty() ? text.substr(0, begin) : text;
  }

  // Behind the end of a tag. `trims`: one line end goes.
  void PassTagEnd(size_t bytes, bool strips, bool trims) {
    const size_t begin = position_;
    Pass(bytes);
    if (strips) PassSpace();
    if (trims && At("\n")) Pass(1);
    at_line_start_ = position_ > begin && source_[position_ - 1] == '\n';
  }

  void Comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string::npos) Fail("a comment has no end");
    const char sign = end > position_ ? source_[end - 1] : ' ';
    Pass(end - position_);
    PassTagEnd(2, sign == '-', sign != '-' && sign != '+');
  }

  // After "{%": a raw block, or nothing is passed.
  bool Raw() {
    const size_t begin = position_;
    const int line = line_;
    PassSpace();
    if (At("raw")) {
      Pass(3);
      PassSpace();
      if (At("%}") || At("-%}")) {
        const bool strips = At("-");
        PassTagEnd(strips ? 3 : 2, strips, false);
        RawText();
        return true;
      }
    }
    position_ = begin;
    line_ = line;
    return false;
  }

  void RawText() {
    for (size_t tag = source_.find("{%", position_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t i = tag + 2;
      const char sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : ' ';
      if (sign != ' ') ++i;
      i = SpaceEnd(i);
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i = SpaceEnd(i + 6);
      const char end_sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : ' ';
      if (end_sign != ' ') ++i;
      if (source_.compare(i, 2, "%}") != 0) continue;
      Data(tag, sign, false);
      Pass(i - position_);
      return PassTagEnd(2, end_sign == '-', end_sign == ' ');
    }
    Fail("a raw block has no end");
  }
  size_t SpaceEnd(size_t i) const {
    while (i < source_.size() && IsSpace(Utf8CodePoint(source_, i))) i += CharBytes(source_[i]);
    return i;
  }

  // The expression or statement of a tag, and its end.
  void Inside(bool is_block) {
    const std::string_view close = is_block ? "%}" : "}}";
    std::string open;  // the brackets that must close first
    while (true) {
      if (open.empty()) {
        const bool strips = At("-") && Rest().substr(1).starts_with(close);
        const bool keeps = is_block && At("+%}");
        if (strips || keeps || At(close)) {
          Add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
          return PassTagEnd(strips || keeps ? 3 : 2, strips, is_block && !strips && !keeps);
        }
      }
      if (position_ >= source_.size()) Fail("a tag has no end");
      if (IsSpace(Utf8CodePoint(source_, position_))) {
        PassSpace();
      } else {
        One(open);
      }
    }
  }

  void One(std::string& open) {
    const char c = source_[position_];
    if (IsDigit(c)) return Number();
    if (c == '.' && position_ + 1 < source_.size() && IsDigit(source_[position_ + 1])) return Operator(open);
    if (IsNameChar(c)) {
      size_t end = position_;
      while (end < source_.size() && IsNameChar(source_[end])) ++end;
      Add(TokenKind::kName, source_.substr(position_, end - position_));
      return Pass(end - position_);
    }
    if (c == '"' || c == '\'') return String(c);
    Operator(open);
  }

  void Operator(std::string& open) {
    constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    const auto two = std::find_if(kDouble.begin(), kDouble.end(), [&](std::string_view op) { return At(op); });
    const std::string op = two != kDouble.end() ? std::string(*two) : source_.substr(position_, 1);
    if (op.size() == 1 && std::string_view("+-/*%~[](){}><=.:|,;").find(op) == std::string_view::npos) {
      Fail(fmt::format("'{}' has no place there", source_.substr(position_, CharBytes(source_[position_]))));
    }
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (kOpen.find(op) != std::string_view::npos) open += kClose[kOpen.find(op)];
    if (kClose.find(op) != std::string_view::npos) {
      if (open.empty() || open.back() != op[0]) Fail(fmt::format("unexpected '{}'", op));
      open.pop_back();
    }
    Add(TokenKind::kOperator, op);
    Pass(op.size());
  }

  // Digits, with single underscores between them.
  size_t DigitsEnd(size_t begin, int base) const {
    const auto is_digit = [&](size_t i) {
      const int digit = i < source_.size() ? HexDigit(source_[i]) : -1;
      return digit >= 0 && digit < base;
    };
    size_t end = begin;
    while (is_digit(end) || (end < source_.size() && source_[end] == '_' && is_digit(end + 1) && end > begin)) ++end;
    return end;
  }

  void Number() {
    if (source_[position_] == '0' && position_ + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[position_ + 1] | 0x20);
      const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
      if (base != 0) {
        const size_t first = position_ + 2 + (source_.compare(position_ + 2, 1, "_") == 0 ? 1 : 0);
        const size_t end = DigitsEnd(first, base);
        if (end > first) return Integer(end);
      }
    }
    const size_t whole = DigitsEnd(position_, 10);
    size_t end = whole;
    // Not behind a point: x.1.2 are two subscripts.
    if (position_ == 0 || source_[position_ - 1] != '.') {
      if (end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) end = DigitsEnd(end + 1, 10);
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        const bool is_signed = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
        const size_t digits = end + (is_signed ? 2 : 1);
        if (digits < source_.size() && IsDigit(source_[digits])) end = DigitsEnd(digits, 10);
      }
    }
    if (end != whole) return Float(end);
    // A zero goes alone: 007 is three integers.
    size_t zeros = position_;
    while (zeros < whole && (source_[zeros] == '0' || source_[zeros] == '_')) ++zeros;
    Integer(source_[position_] == '0' ? zeros : whole);
  }

  void Integer(size_t end) {
    const std::optional<int64_t> value =
        ParseInt(std::string_view(source_).substr(position_, end - position_), source_[position_] == '0' ? 0 : 10);
    if (!value) Fail("an integer that cannot be read");
    Add(TokenKind::kInteger, "");
    tokens_.back().integer = *value;
    Pass(end - position_);
  }

  void Float(size_t end) {
    const std::optional<double> value = ParseFloat(std::string_view(source_).substr(position_, end - position_));
    if (!value) Fail("a number that cannot be read");
    Add(TokenKind::kFloat, "");
    tokens_.back().real = *value;
    Pass(end - position_);
  }

  void String(char quote) {
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) Fail("a string has no end");
    Add(TokenKind::kString, Unescaped(std::string_view(source_).substr(position_ + 1, end - position_ - 1)));
    Pass(end + 1 - position_);
  }

  // Python's escapes.
  std::string Unescaped(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        out += text[i++];
        continue;
      }
      i += Escape(text.substr(i), out);
    }
    return out;
  }

  // Appends what the escape at the start of `text` stands for; returns its bytes.
  size_t Escape(std::string_view text, std::string& out) const {
    const char c = text[1];
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
    if (kLetters.find(c) != std::string_view::npos) {
      out += kMeant[kLetters.find(c)];
      return 2;
    }
    if (c == '\n') return 2;
    if (c >= '0' && c <= '7') {
      size_t end = 1;
      uint32_t code = 0;
      while (end < 4 && end < text.size() && text[end] >= '0' && text[end] <= '7') {
        code = code * 8 + static_cast<uint32_t>(text[end++] - '0');
      }
      AppendChar(out, code);
      return end;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) return HexEscape(text, digits, out);
    if (c == 'N') Fail("\\N{...} is not supported; write the character");
    out += '\\';
    // Jinja2 writes what is beyond ASCII as an escape first, and this backslash is then taken for a part of that.
    const uint32_t code = Utf8CodePoint(text, 1);
    if (code < 0x80) {
      out += c;
    } else {
      out += code < 0x100     ? fmt::format("x{:02x}", code)
             : code < 0x10000 ? fmt::format("u{:04x}", code)
                              : fmt::format("U{:08x}", code);
    }
    return 1 + CharBytes(c);
  }

  size_t HexEscape(std::string_view text, size_t digits, std::string& out) const {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const int digit = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (digit < 0) Fail(fmt::format("\\{} needs {} hexadecimal digits", text[1], digits));
      code = code << 4 | static_cast<uint32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) Fail(fmt::format("U+{:04X} is no character", code));
    AppendChar(out, code);
    return 2 + digits;
  }

  std::string source_;
  size_t position_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) {
  constexpr size_t kLongest = size_t{1} << 20;  // published ones have less than 20 kB
  if (source.size() > kLongest) throw TemplateError(fmt::format("longer than {} bytes", kLongest), 1);
  RequireUtf8(source);
  return Lexer(source).Run();
}

}  // namespace assay::jinja
